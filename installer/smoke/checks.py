"""What the smoke test checks, as a table. Phases run in order; each lists the policies in force.

The expectations follow from the NetworkPolicy semantics
(https://kubernetes.io/docs/concepts/services-networking/network-policies/): a pod that a policy
selects for a direction admits only what some policy admits; all others are open. Everything that
is expected to be blocked is also in `OPEN`: it connects before any policy is there and after all
are gone, so that a blocked path is known to work.
"""

from __future__ import annotations

from typing import Any

from installer.smoke.flows import (
    PORT,
    STREAM_PORT,
    Check,
    Expect,
    Flow,
    Phase,
    Policy,
    Scope,
    host,
    icmp,
    other_port,
    service,
    stream,
    udp,
)

EFFECT_LIMIT_S = 2.0
"""A change of policy has to be in force within this time, from the request to the API server."""

_BACKENDS = {"matchLabels": {"role": "backend"}}


def _peer(role: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"role": role}}}


def _ports(*ports: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _allow(role: str) -> Policy:
    rule = {"from": [_peer(role)], "ports": _ports(PORT, STREAM_PORT)}
    spec = {"podSelector": _BACKENDS, "policyTypes": ["Ingress"], "ingress": [rule]}
    return Policy("allow", spec)


DENY = Policy("deny", {"podSelector": {}, "policyTypes": ["Ingress"]})
ALLOW_FRONTEND = _allow("frontend")
ALLOW_OTHER = _allow("other")
EGRESS_DENY = Policy("egress", {"podSelector": _BACKENDS, "policyTypes": ["Egress"]})
EGRESS_EXCEPTION = Policy(
    "egress",
    {
        "podSelector": _BACKENDS,
        "policyTypes": ["Egress"],
        "egress": [{"to": [_peer("frontend")], "ports": _ports(PORT)}],
    },
)

OPEN = (
    *(Flow(actor) for actor in ("frontend", "other", "outsider")),
    *(Flow("backend", actor) for actor in ("frontend", "other", "outsider")),
    *(other_port("frontend"), udp("frontend"), icmp("frontend")),
    *(other_port("backend", "frontend"), udp("backend", "frontend"), icmp("backend", "frontend")),
)
"""Every path between pods that a later phase judges."""
SERVICES = (
    *(service(actor) for actor in ("frontend", "other", "outsider")),
    service("backend", "frontend"),
)

PHASES = (
    Phase(
        "no policy",
        (),
        (
            Check("pods reach each other (TCP, UDP, ICMP)", Expect.CONNECTS, OPEN),
            Check(
                "source address is kept (no NAT)",
                Expect.SOURCE,
                (Flow("frontend"), Flow("backend", "frontend")),
            ),
            Check("pod reaches Service address", Expect.CONNECTS, SERVICES),
            Check("pod reaches node", Expect.CONNECTS, (host("frontend"),)),
            Check("node reaches pod", Expect.CONNECTS, (Flow("node"), icmp("node"))),
        ),
    ),
    Phase(
        "default deny",
        (DENY,),
        (
            Check("default deny blocks", Expect.BLOCKED, (Flow("frontend"),), timed=True),
            Check(
                "deny blocks every peer, port and protocol",
                Expect.BLOCKED,
                (
                    *(Flow(actor) for actor in ("other", "outsider")),
                    *(other_port("frontend"), udp("frontend"), icmp("frontend")),
                    Flow("backend", "frontend"),
                ),
            ),
            Check(
                "default deny blocks through Service",
                Expect.BLOCKED,
                tuple(service(actor) for actor in ("frontend", "other", "outsider")),
            ),
            Check("other namespace stays open", Expect.CONNECTS, (Flow("backend", "outsider"),)),
            Check(
                "node still reaches its own pod", Expect.CONNECTS, (Flow("node"),), only=Scope.SAME
            ),
        ),
    ),
    Phase(
        "frontend allowed on one port",
        (DENY, ALLOW_FRONTEND),
        (
            Check("allowed peer connects", Expect.CONNECTS, (Flow("frontend"),), timed=True),
            Check("allowed peer connects through Service", Expect.CONNECTS, (service("frontend"),)),
            Check("another label stays blocked", Expect.BLOCKED, (Flow("other"),)),
            Check("another port stays blocked", Expect.BLOCKED, (other_port("frontend"),)),
            Check(
                "other protocols stay blocked (UDP, ICMP)",
                Expect.BLOCKED,
                (udp("frontend"), icmp("frontend")),
            ),
            Check("another namespace stays blocked", Expect.BLOCKED, (Flow("outsider"),)),
            Check(
                "reverse direction stays blocked", Expect.BLOCKED, (Flow("backend", "frontend"),)
            ),
            Check(
                "blocked also through Service",
                Expect.BLOCKED,
                (service("other"), service("outsider")),
            ),
        ),
        streams=(stream("frontend"),),
    ),
    Phase(
        "other allowed instead",
        (DENY, ALLOW_OTHER),
        (
            Check("change admits the new peer", Expect.CONNECTS, (Flow("other"),), timed=True),
            Check("change blocks the old peer", Expect.BLOCKED, (Flow("frontend"),), timed=True),
            Check("established connection is cut", Expect.CUT, (stream("frontend"),)),
            Check("kubelet's probes pass under default deny", Expect.HEALTHY, ()),
        ),
    ),
    Phase(
        "egress denied",
        (EGRESS_DENY,),
        (
            Check("egress deny blocks", Expect.BLOCKED, (Flow("backend", "outsider"),), timed=True),
            Check(
                "egress deny blocks in its namespace",
                Expect.BLOCKED,
                (Flow("backend", "frontend"),),
            ),
            Check("ingress stays open", Expect.CONNECTS, (Flow("outsider"),)),
        ),
        sudden=False,
    ),
    Phase(
        "egress allowed to frontend on one port",
        (EGRESS_EXCEPTION,),
        (
            Check(
                "egress exception connects",
                Expect.CONNECTS,
                (Flow("backend", "frontend"),),
                timed=True,
            ),
            Check(
                "egress exception connects through Service",
                Expect.CONNECTS,
                (service("backend", "frontend"),),
            ),
            Check(
                "egress beyond the exception stays blocked",
                Expect.BLOCKED,
                (
                    *(Flow("backend", actor) for actor in ("other", "outsider")),
                    other_port("backend", "frontend"),
                    udp("backend", "frontend"),
                    icmp("backend", "frontend"),
                ),
            ),
        ),
    ),
    Phase(
        "policies removed",
        (),
        (
            Check(
                "removing the policies restores everything",
                Expect.CONNECTS,
                (*OPEN, *SERVICES, host("frontend")),
                timed=True,
            ),
        ),
    ),
)
