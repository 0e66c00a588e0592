"""Asks the reference evaluator for some packets of each program: is what was compiled what the
objects say? The kernel is compared with what was compiled, over all packets; this looks at the
other half of the way, where peers and ports make a difference, as far as the caller has time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address
from random import Random

from romana.objects import Address, Snapshot
from romana.policy.admission import Admission, Direction, EndpointPrograms, Flow
from romana.policy.evaluate import evaluate
from romana.policy.judge import Judge
from romana.policy.verdict import Outcome

PEERS = 8
"""How many peers of a program are asked for."""
PROTOCOLS = (6, 17, 132)


def sample(
    snapshot: Snapshot, admission: Admission, node: Collection[Address], seed: int
) -> Iterator[str]:
    """Compare flow after flow; yields "" for each that is judged alike, else one line.

    Args:
        snapshot: the objects.
        admission: what was compiled of them, with the leases of this host's pods.
        node: this host's own addresses.
        seed: which flows are taken.
    """
    random = Random(seed)  # noqa: S311 - a choice, no secret
    judge = Judge(admission, node)
    for each in _one_of_each(admission):
        pod = snapshot.pods.get(each.endpoint.pod)
        if pod is None or not set(each.endpoint.addresses) <= set(pod.addresses):
            continue  # the snapshot does not know its address yet
        for flow in _flows(admission, each, random):
            wanted, compiled = evaluate(snapshot, flow), judge.verdict(flow)
            pairs = ((wanted.egress, compiled.egress), (wanted.ingress, compiled.ingress))
            alike = all(
                ours.outcome is Outcome.OUTSIDE or ours.admitted == reference.admitted
                for reference, ours in pairs
            )
            yield "" if alike else f"compiled otherwise than the objects say: {flow}"


def _one_of_each(admission: Admission) -> Iterator[EndpointPrograms]:
    """An endpoint for each pair of programs."""
    seen = set()
    for each in admission.endpoints.values():
        if (each.ingress, each.egress) not in seen:
            seen.add((each.ingress, each.egress))
            yield each


def _flows(admission: Admission, each: EndpointPrograms, random: Random) -> Iterator[Flow]:
    for direction, name in ((Direction.INGRESS, each.ingress), (Direction.EGRESS, each.egress)):
        grants = admission.programs[name].grants if name else frozenset()
        for own in each.endpoint.addresses:
            make = IPv4Address if own.version == 4 else IPv6Address
            last = 2**own.max_prefixlen - 1
            edges = {0, last}
            ports = {0, 65535}
            for grant in grants:
                if grant.family == own.version:
                    edges.update((grant.low, grant.high, max(grant.low - 1, 0)))
                    edges.add(min(grant.high + 1, last))
                    ports.update((grant.port_low, grant.port_high))
                    ports.add(min(grant.port_high + 1, 65535))
            for number in random.sample(sorted(edges), min(PEERS, len(edges))):
                peer = make(number)
                ends = (peer, own) if direction is Direction.INGRESS else (own, peer)
                for protocol in PROTOCOLS:
                    port = random.choice(sorted(ports))
                    yield Flow(source=ends[0], destination=ends[1], protocol=protocol, port=port)
