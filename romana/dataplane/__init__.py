"""The kernel: nftables, routes, interfaces, connections. Each part touches only objects of its own.

For the agent:

    enforcement = Enforcement("auto")                  # of `backends.py`: nftables, or iptables
    enforcement.settings = Settings(...)
    await enforcement.apply(admission)                 # then drift, repair, counters, own

and what that consists of (`xtables/` has a Renderer and a Backend with the same methods):

    renderer = Renderer(Settings(pod_networks=..., direct_networks=..., masquerade=True))   # pure
    backend = Backend()
    await backend.apply(renderer.render(admission))    # RulesetError; the first time replaces all
    await backend.drift(ruleset)                       # -> tuple[Difference, ...], str() of each
    await backend.replace(ruleset)                     # repairs drift, in one transaction
    await backend.counters()                           # dropped packets by counter name

    wanted = wanted_routes(snapshot, node, endpoints, segments)                            # pure
    await apply_routes(wanted)                         # RouteError names each that failed

    link = PodLink(interface=..., netns=..., name="eth0", addresses=..., mtu=..., sources=...)
    await attach(link)                                 # LinkError; nothing of it is left then
    await check(link)                                  # -> what is wrong, in words
    await detach(interface)                            # absent is fine

    await cut_denied(addresses, admits)                # after apply: ends what is denied now

    async for change in Listener(NETFILTER).notifications(): ...   # RulesetChanged, Overflowed
    backend.own(change)                                # written by this backend itself
    async for change in Listener(ROUTE).notifications(): ...       # RouteChanged, LinkChanged

Everything acts on the network namespace of the calling thread. Errors derive from DataplaneError;
each message is one line for the operator.
"""

from romana.dataplane.backend import Backend
from romana.dataplane.conntrack import Connection, cut, cut_denied, live
from romana.dataplane.errors import (
    CommandError,
    DataplaneError,
    LinkError,
    NetlinkError,
    RouteError,
    RulesetError,
)
from romana.dataplane.link_check import check
from romana.dataplane.links import PodLink, attach, detach, exists, interfaces
from romana.dataplane.listing import Difference, Listing
from romana.dataplane.netlink import (
    NETFILTER,
    ROUTE,
    LinkChanged,
    Listener,
    Notification,
    Overflowed,
    RouteChanged,
    RulesetChanged,
)
from romana.dataplane.nftables import COUNTERS, Renderer, Settings, render
from romana.dataplane.routes import Route, apply_routes, read_routes, wanted_routes
from romana.dataplane.ruleset import Ruleset, difference

__all__ = [
    "COUNTERS",
    "NETFILTER",
    "ROUTE",
    "Backend",
    "CommandError",
    "Connection",
    "DataplaneError",
    "Difference",
    "LinkChanged",
    "LinkError",
    "Listener",
    "Listing",
    "NetlinkError",
    "Notification",
    "Overflowed",
    "PodLink",
    "Renderer",
    "Route",
    "RouteChanged",
    "RouteError",
    "Ruleset",
    "RulesetChanged",
    "RulesetError",
    "Settings",
    "apply_routes",
    "attach",
    "check",
    "cut",
    "cut_denied",
    "detach",
    "difference",
    "exists",
    "interfaces",
    "live",
    "read_routes",
    "render",
    "wanted_routes",
]
