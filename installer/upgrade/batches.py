"""How many nodes are taken out of service at once, and which. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from installer.errors import InstallerError

DEFAULT = "20%"
DRAIN_TIMEOUT_S = 600.0
"""How long emptying a node may take, if nothing else is said."""
_FORM = re.compile(r"(\d+)(%?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How many: a number of nodes, or a percentage of all."""

    amount: int
    percent: bool

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)

    def of(self, nodes: int) -> int:
        """How many of so many nodes may be down at once: at least one, or nothing would ever move,
        and never all, where there are more than one."""
        wanted = nodes * self.amount // 100 if self.percent else self.amount
        return max(1, min(wanted, nodes - 1))


def parse(text: str) -> Batch:
    """What `--batch` says: "20%" or "3".

    Raises:
        InstallerError: it is neither.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or int(found[1]) == 0 or (found[2] and int(found[1]) > 100):
        raise InstallerError(
            f"--batch {text}: is no number of nodes", "write a number or a percentage: 3 or 20%"
        )
    return Batch(amount=int(found[1]), percent=bool(found[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as the order of an upgrade sees it. `down` means that it serves nobody anyway: not
    Ready, or emptied by a run before."""

    name: str
    zone: str = ""
    down: bool = False


class NoRoom(InstallerError):
    """As many nodes are down already as may be."""


def next_batch(
    outdated: Sequence[Node], others: Sequence[Node], batch: Batch, *, canary: bool
) -> tuple[str, ...]:
    """The nodes to upgrade next.

    Those that are down already come first and cost nobody anything; they and those that are down
    elsewhere count as down. What room is left is for others, of one zone as far as it reaches.

    Args:
        outdated: nodes yet to be upgraded, in the inventory's order.
        others: all other nodes.
        batch: how many may be down.
        canary: whether none has been upgraded yet: then one goes first, alone.

    Raises:
        NoRoom: nodes elsewhere are down, and leave no room for any.
    """
    total = len(outdated) + len(others)
    down = [node for node in outdated if node.down]
    up = _near([node for node in outdated if not node.down])
    elsewhere = [node.name for node in others if node.down]
    room = max(0, batch.of(total) - len(down) - len(elsewhere))
    chosen = [*down, *up[:room]]
    if not chosen:
        raise NoRoom(
            f"{', '.join(elsewhere)} {'is' if len(elsewhere) == 1 else 'are'} down already, and "
            f"{batch} of {total} nodes allows no more than {batch.of(total)}",
            "mend or remove what is down, or allow more: --batch",
        )
    return tuple(node.name for node in (chosen[:1] if canary else chosen))


def _near(nodes: Sequence[Node]) -> list[Node]:
    """Zone by zone, the zone of the first node first: a batch that hits one zone leaves the others
    whole."""
    zones = list(dict.fromkeys(node.zone for node in nodes))
    return sorted(nodes, key=lambda node: zones.index(node.zone))
