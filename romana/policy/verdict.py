"""What is decided about a flow, on each of its two sides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(str, Enum):
    """Why a side lets a flow pass, or that it does not."""

    OUTSIDE = "outside"
    """There is no pod on this side to be judged for."""
    ITSELF = "itself"
    """A pod reaches itself, whatever policies say."""
    NODE = "node"
    """A node reaches its own pods, whatever policies say: the kubelet's probes."""
    OPEN = "open"
    """No policy isolates the pod in this direction."""
    ADMITTED = "admitted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One side of a flow.

    Args:
        outcome: what and why.
        program: name of the program that decided, where it was a program.
        reasons: the rules that admit it, or the policies that isolate the pod where none does.
    """

    outcome: Outcome
    program: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether this side lets the flow pass."""
        return self.outcome is not Outcome.DENIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Both sides: a flow passes where both let it."""

    egress: Judgement
    ingress: Judgement

    @property
    def admitted(self) -> bool:
        """Whether the flow passes."""
        return self.egress.admitted and self.ingress.admitted
