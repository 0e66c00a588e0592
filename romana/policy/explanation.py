"""An explanation as a value: for the terminal and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from romana.objects import DEFAULT_DENY_ANNOTATION, Address, Key
from romana.policy.admission import Direction, Flow
from romana.policy.model import RomanaPolicy
from romana.policy.verdict import Outcome


class Match(NamedTuple):
    """An entry that admits the flow: its policy, and its index there."""

    policy: RomanaPolicy
    entry: int

    @property
    def text(self) -> str:
        """`NetworkPolicy NAMESPACE/NAME ingress[INDEX]`."""
        return f"{self.policy.origin.text} {self.policy.direction.value}[{self.entry}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a flow.

    Args:
        direction: egress of the source, or ingress of the destination.
        address: the address on this side.
        pod: whose it is; None where it is no pod's.
        known: whether the pod is in the snapshot.
        outcome: what and why.
        isolating: the policies that isolate the pod in this direction.
        matches: the entries that admit the flow.
        idle: the policies of extensions/v1beta1 that would isolate the pod, were it not for its
            namespace.
    """

    direction: Direction
    address: Address
    pod: Key | None
    known: bool = True
    outcome: Outcome
    isolating: tuple[RomanaPolicy, ...] = ()
    matches: tuple[Match, ...] = ()
    idle: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One line for the operator."""
        who = str(self.address) if self.pod is None else "/".join(self.pod)
        return f"{self.direction.value} of {who}: {self._reason()}"

    def _reason(self) -> str:
        if self.outcome is Outcome.ADMITTED:
            return "admitted by " + ", ".join(match.text for match in self.matches)
        if self.outcome is Outcome.DENIED and not self.known:
            return "denied: the pod is not known (yet), so it is closed"
        if self.outcome is Outcome.DENIED:
            names = ", ".join(policy.origin.text for policy in self.isolating)
            return f"denied: isolated by {names}; no rule matched{self._hint()}"
        return _REASONS[self.outcome] + (self._hint() if self.outcome is Outcome.OPEN else "")

    def _hint(self) -> str:
        return f" ({', '.join(self.idle)}: {IDLE})" if self.idle else ""

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "direction": self.direction.value,
            "address": str(self.address),
            "pod": None if self.pod is None else "/".join(self.pod),
            "outcome": self.outcome.value,
            "admitted": self.outcome is not Outcome.DENIED,
            "isolated_by": [policy.name for policy in self.isolating],
            "admitted_by": [
                {"policy": match.policy.name, "rule": match.entry} for match in self.matches
            ],
            "idle": list(self.idle),
            "text": self.text,
        }


IDLE = f"says nothing, since the namespace has no annotation {DEFAULT_DENY_ANNOTATION}"
"""Of a policy of extensions/v1beta1."""

_REASONS = {
    Outcome.OUTSIDE: "not judged: the address is no pod's own",
    Outcome.ITSELF: "admitted: a pod always reaches itself",
    Outcome.NODE: "admitted: a node always reaches its own pods",
    Outcome.OPEN: "admitted: no policy isolates the pod in this direction",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Both sides of a flow.

    Args:
        flow: the flow in question.
        egress: the source's side.
        ingress: the destination's side.
        agrees: whether the compiled form gives the same answer, as it must.
    """

    flow: Flow
    egress: Side
    ingress: Side
    agrees: bool

    @property
    def admitted(self) -> bool:
        """Whether the flow passes."""
        return Outcome.DENIED not in (self.egress.outcome, self.ingress.outcome)

    @property
    def lines(self) -> tuple[str, ...]:
        """For the operator: each side, and the sum."""
        warning = () if self.agrees else ("what is compiled says otherwise: report this",)
        result = "the connection is admitted" if self.admitted else "the connection is denied"
        return (self.egress.text, self.ingress.text, result, *warning)

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "source": str(self.flow.source),
            "destination": str(self.flow.destination),
            "protocol": self.flow.protocol,
            "port": self.flow.port,
            "admitted": self.admitted,
            "agrees": self.agrees,
            "egress": self.egress.as_json(),
            "ingress": self.ingress.as_json(),
        }
