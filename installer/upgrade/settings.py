"""What the operator may choose about a roll-out."""

from __future__ import annotations

from dataclasses import dataclass

from installer.upgrade.batches import DEFAULT, DRAIN_TIMEOUT_S, Batch, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to roll out.

    Args:
        batch: how many nodes may be down at once.
        drain_timeout_s: how long emptying one node may take.
        bare: evict also pods that nothing starts again.
    """

    batch: Batch = parse(DEFAULT)
    drain_timeout_s: float = DRAIN_TIMEOUT_S
    bare: bool = False
