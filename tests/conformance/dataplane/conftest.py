"""One host with pods, made by the code under test, and one host outside, as namespaces.

A module's tests run on nftables, or on each of the backends that its `BACKENDS` names.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

import pytest

from romana.dataplane import Backend, PodLink, Renderer, Settings, attach, xtables
from romana.lab.namespaces import Lab, Namespace
from romana.lab.responder import Responder
from romana.policy.admission import Admission, Direction, Endpoint, EndpointPrograms, Grant, Program

T = TypeVar("T")

NODE, NODE6 = "198.18.0.11", "fd00:18::11"
OUTSIDE, OUTSIDE6 = "198.18.0.12", "fd00:18::12"
SETTINGS = Settings(
    pod_networks=(ip_network("10.112.0.0/12"), ip_network("fd00:112::/48")),
    direct_networks=(ip_network("198.18.0.11/32"),),
)


def variant(kind: str) -> xtables.Variant:
    """The installed iptables of a kind."""
    found = [each for each in asyncio.run(xtables.variants()) if each.kind == kind]
    if not found:
        pytest.skip(f"iptables of the kind {kind} is not installed")
    return found[0]


class Host:
    """The host under test. Everything in it acts on its own namespace.

    Args:
        backend: `nftables`, `nft` or `legacy`; the latter are kinds of iptables.
    """

    def __init__(self, lab: Lab, backend: str = "nftables") -> None:
        self.lab = lab
        self.namespace = lab.host("node1", NODE)
        self.outside = lab.host("node2", OUTSIDE)
        self.kind = backend
        self.backend: Any = self.fresh()
        self.renderer: Any = (Renderer if backend == "nftables" else xtables.Renderer)(SETTINGS)
        self.ruleset = self.renderer.render(Admission())
        self.links: dict[str, PodLink] = {}
        self.endpoints: dict[str, EndpointPrograms] = {}
        self.programs: dict[str, Program] = {}

    def fresh(self) -> Any:
        """One more backend of the same kind, which knows nothing of what this host has."""
        return Backend() if self.kind == "nftables" else xtables.Backend(variant(self.kind))

    def damage_set(self, program: str) -> None:
        """Empty the set of a program's hosts by hand."""
        if self.kind == "nftables":
            self.namespace.run("nft", "flush", "set", "inet", "romana", f"in-{program}-hosts4")
            return
        names = self.namespace.run("ipset", "list", "-n").split()
        for each in names:
            if each.startswith(f"ROMANA-{program}-h-"):
                self.namespace.run("ipset", "flush", each)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the host's namespace."""
        return self.namespace.inside(lambda: asyncio.run(work))

    def pod(self, name: str, *addresses: str, known: bool = True) -> Namespace:
        """Make a pod; one that is not known is no endpoint of any admission."""
        pod = self.lab.namespace(name)
        link = PodLink(
            interface=f"rom{len(self.links):012x}",
            netns=str(pod.path),
            name="eth0",
            addresses=tuple(map(ip_address, addresses)),
            sources=(ip_address(NODE), ip_address(NODE6)),
        )
        self.do(attach(link))
        self.links[name] = link
        if known:
            endpoint = Endpoint(
                interface=link.interface, addresses=link.addresses, pod=("test", name)
            )
            self.endpoints[name] = EndpointPrograms(endpoint=endpoint)
        return pod

    def isolate(
        self, name: str, *, ingress: Program | None = None, egress: Program | None = None
    ) -> None:
        """Let programs judge a pod; None isolates it not in that direction."""
        self.programs.update({each.name: each for each in (ingress, egress) if each})
        self.endpoints[name] = EndpointPrograms(
            endpoint=self.endpoints[name].endpoint,
            ingress=ingress.name if ingress else None,
            egress=egress.name if egress else None,
        )

    def enforce(self) -> None:
        """Commit what is wanted."""
        used = {name for each in self.endpoints.values() for name in (each.ingress, each.egress)}
        admission = Admission(
            endpoints={each.endpoint.interface: each for each in self.endpoints.values()},
            programs={name: each for name, each in self.programs.items() if name in used},
        )
        self.ruleset = self.renderer.render(admission)
        self.do(self.backend.apply(self.ruleset))

    @staticmethod
    def program(name: str, direction: Direction, *grants: Grant) -> Program:
        """A program as policies would compile to."""
        return Program(
            name=name, direction=direction, policies=(("test", name),), grants=frozenset(grants)
        )

    @staticmethod
    def grant(
        peers: str, protocol: int = 0, low: int = 0, high: int = 0, *, last: str = ""
    ) -> Grant:
        """A grant for a network, an address, or up to `last` a range; without ports, for all."""
        network = ip_network(peers)
        end = int(ip_address(last)) if last else int(network.broadcast_address)
        top = high or low or 65535
        return Grant(network.version, int(network.network_address), end, protocol, low, top)

    def dropped(self) -> dict[str, int]:
        """The counters of drops."""
        return dict(self.do(self.backend.counters()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "BACKENDS", ("nftables",))
        metafunc.parametrize("host", kinds, indirect=True)


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with Lab("rt-dp") as lab:
        made = Host(lab, request.param)
        for each, address in ((made.namespace, NODE6), (made.outside, OUTSIDE6)):
            each.ip("address", "add", f"{address}/64", "dev", "eth0", "nodad")
            each.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        made.outside.ip("route", "add", "10.112.0.0/12", "via", NODE)
        made.outside.ip("-6", "route", "add", "fd00:112::/48", "via", NODE6)
        yield made


@pytest.fixture
def responder() -> Iterator[Responder]:
    with Responder() as made:
        yield made
