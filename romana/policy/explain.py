"""Why a flow passes, or what stops it: by policy and rule, for both sides.

The answer comes from Romana policies, which operators see; it is checked against the compiled form,
which the kernel holds. Should the two ever differ, the explanation says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from romana.objects import Address, Pod, Snapshot
from romana.policy.admission import Admission, Direction, Endpoint, Flow
from romana.policy.compile import compile_admission
from romana.policy.explanation import Explanation, Match, Side
from romana.policy.judge import Judge
from romana.policy.model import Entry, PodSet, PolicyPeer, RomanaPolicy, Rule
from romana.policy.pods import resolve
from romana.policy.selection import PolicyIndex
from romana.policy.translate import translate_direction, translate_idle
from romana.policy.verdict import Outcome, Verdict


def explain(
    snapshot: Snapshot,
    flow: Flow,
    endpoints: Iterable[Endpoint] = (),
    admission: Admission | None = None,
) -> Explanation:
    """Explain a flow.

    Args:
        snapshot: the cluster.
        flow: in question, after destination NAT.
        endpoints: those of this host: their addresses count before a pod's status does.
        admission: what is in force on this host, to be checked as well. Without it both pods are
            compiled as they would be on their own hosts.
    """
    case = _Case(snapshot, flow, tuple(endpoints))
    egress, ingress = case.side(Direction.EGRESS), case.side(Direction.INGRESS)
    outcomes = (egress.outcome, ingress.outcome)
    agrees = all(
        compiled in (expected, Outcome.OUTSIDE)
        for verdict in case.verdicts(admission)
        for compiled, expected in zip(
            (verdict.egress.outcome, verdict.ingress.outcome), outcomes, strict=True
        )
    )
    return Explanation(flow=flow, egress=egress, ingress=ingress, agrees=agrees)


def isolating(snapshot: Snapshot, pod: Pod, direction: Direction) -> tuple[RomanaPolicy, ...]:
    """The policies that isolate a pod in one direction, as Romana policies. The pod is not in its
    node's network."""
    found = PolicyIndex(snapshot, (pod.namespace,)).selecting(pod)
    translated = (translate_direction(each, direction, snapshot.segment_labels) for each in found)
    return tuple(each for each in translated if each is not None)


class _Case:
    """A flow with the endpoints at its sides."""

    def __init__(self, snapshot: Snapshot, flow: Flow, endpoints: tuple[Endpoint, ...]) -> None:
        self._snapshot = snapshot
        self._flow = flow
        self._source = _endpoint_at(snapshot, flow.source, endpoints)
        self._destination = _endpoint_at(snapshot, flow.destination, endpoints)

    def verdicts(self, admission: Admission | None) -> Iterator[Verdict]:
        """What the compiled form says: as compiled here, and what is in force."""
        node = self._node_addresses()
        sides = [each for each in (self._source, self._destination) if each is not None]
        yield Judge(compile_admission(self._snapshot, sides), node).verdict(self._flow)
        if admission is not None:
            yield Judge(admission, node).verdict(self._flow)

    def side(self, direction: Direction) -> Side:
        """One side, judged by its Romana policies."""
        ingress = direction is Direction.INGRESS
        endpoint = self._destination if ingress else self._source
        address = self._flow.destination if ingress else self._flow.source
        pod = self._pod(endpoint)
        key = None if endpoint is None else endpoint.pod
        settled = self._settled(direction, endpoint, pod)
        if settled is not None:
            known = pod is not None
            return Side(direction=direction, address=address, pod=key, known=known, outcome=settled)
        policies = () if pod is None else isolating(self._snapshot, pod, direction)
        idle = () if pod is None else tuple(self._idle(pod, direction))
        matches = tuple(
            Match(policy, index)
            for policy in policies
            for index, entry in enumerate(policy.entries)
            if self._admits(entry, direction)
        )
        outcome = Outcome.ADMITTED if matches else Outcome.DENIED
        return Side(
            direction=direction,
            address=address,
            pod=key,
            outcome=outcome if policies else Outcome.OPEN,
            isolating=policies,
            matches=matches,
            idle=tuple(policy.origin.text for policy in idle),
        )

    def _settled(
        self, direction: Direction, endpoint: Endpoint | None, pod: Pod | None
    ) -> Outcome | None:
        """What is decided before any policy is asked."""
        if endpoint is None:
            return Outcome.OUTSIDE
        if self._source == self._destination:
            return Outcome.ITSELF
        if direction is Direction.INGRESS and self._flow.source in self._node_addresses():
            return Outcome.NODE
        return Outcome.DENIED if pod is None else None

    def _node_addresses(self) -> tuple[Address, ...]:
        """The addresses of the destination's node."""
        pod = self._pod(self._destination)
        node = None if pod is None else self._snapshot.nodes.get(("", pod.node))
        return () if node is None else node.addresses

    def _pod(self, endpoint: Endpoint | None) -> Pod | None:
        pod = None if endpoint is None else self._snapshot.pods.get(endpoint.pod)
        return None if pod is None or pod.host_network else pod

    def _idle(self, pod: Pod, direction: Direction) -> Iterator[RomanaPolicy]:
        for policy in translate_idle(self._snapshot):
            if policy.direction is direction and policy.applies_to(pod, self._snapshot.namespaces):
                yield policy

    def _admits(self, entry: Entry, direction: Direction) -> bool:
        ingress = direction is Direction.INGRESS
        address = self._flow.source if ingress else self._flow.destination
        pod = self._pod(self._source if ingress else self._destination)
        if entry.peers is not None and not any(
            self._is_peer(peer, address, pod) for peer in entry.peers
        ):
            return False
        return any(self._follows(rule) for rule in entry.rules)

    def _is_peer(self, peer: PolicyPeer, address: Address, pod: Pod | None) -> bool:
        if isinstance(peer, PodSet):
            return pod is not None and peer.holds(pod, self._snapshot.namespaces)
        return address in peer.cidr and not any(address in each for each in peer.exceptions)

    def _follows(self, rule: Rule) -> bool:
        """Whether the flow has the protocol and one of the ports of a rule."""
        if rule.protocol is None:
            return True
        if rule.protocol.number != self._flow.protocol:
            return False
        if rule.ports is None:
            return True
        receiver = self._pod(self._destination)
        for port in rule.ports:
            if isinstance(port, str):
                named = () if receiver is None else resolve(receiver, (port, rule.protocol))
                if self._flow.port in named:
                    return True
            elif port.low <= self._flow.port <= port.high:
                return True
        return False


def _endpoint_at(
    snapshot: Snapshot, address: Address, endpoints: Iterable[Endpoint]
) -> Endpoint | None:
    """The endpoint that has an address: this host's, or one made up for a pod elsewhere."""
    for endpoint in endpoints:
        if address in endpoint.addresses:
            return endpoint
    for pod in snapshot.pods.values():
        if address in pod.addresses and not pod.host_network:
            name = "/".join(pod.key)
            return Endpoint(interface=name, addresses=pod.addresses, pod=pod.key)
    return None
