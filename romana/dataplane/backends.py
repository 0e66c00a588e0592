"""The two backends as one: which of them is used, and that nothing is left of the other.

`auto` stays with the backend that holds our rules already; where none does, it is nftables if that
works, else iptables. What fails at one moment (see `trial`) never makes it iptables, unless that
goes on for long on a host where nothing is in force yet.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from romana.dataplane import nftables, xtables
from romana.dataplane.backend import Backend
from romana.dataplane.commands import run
from romana.dataplane.counted import DeniedPackets
from romana.dataplane.errors import CommandError, RulesetError
from romana.dataplane.listing import Difference
from romana.dataplane.netlink import RulesetChanged
from romana.dataplane.nftables import Settings
from romana.dataplane.readback import table_text
from romana.dataplane.ruleset import TABLE
from romana.dataplane.trial import LogTrial, absent, may_pass, try_nftables
from romana.policy.admission import Admission

BackendName = Literal["auto", "nftables", "iptables", "iptables-legacy", "iptables-nft"]
"""What the configuration can ask for; `iptables` is the kind of iptables that the host uses."""
UNDECIDED_LIMIT = 5
"""So often in a row `auto` may find that it cannot be told whether nftables works; then it takes
iptables. In between, the reconciler waits longer and longer."""

Reading = str | xtables.Listing
"""What was read back of our rules: nft's JSON, or what iptables and ipset print."""

R_contra = TypeVar("R_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

log = logging.getLogger(__name__)


class Renders(Protocol[R_co]):
    """Makes rules of an Admission. Pure."""

    settings: Settings

    def render(self, admission: Admission) -> R_co:
        """The rules that enforce it."""


class Enforces(Protocol[R_contra]):
    """Writes rules to the kernel, each change as one, and reads them back; touches nothing that is
    not ours. Errors are RulesetError; what was in force before still is then."""

    @property
    def watched(self) -> frozenset[str]:
        """The tables of nftables whose changes, as the kernel tells them, concern us."""

    async def apply(self, wanted: R_contra) -> bool:
        """Write the difference to what was written last; whether there was any."""

    async def replace(self, wanted: R_contra) -> None:
        """Write rules, whatever the kernel holds."""

    async def remove(self) -> None:
        """Remove all that is ours; absent is fine."""

    async def drift(self, wanted: R_contra) -> tuple[Difference, ...]:
        """What the kernel holds otherwise."""

    async def counters(self) -> Mapping[str, int]:
        """Packets dropped so far, by counter name."""

    async def denied(self) -> DeniedPackets:
        """Packets denied so far, by direction and endpoint's interface."""

    def own(self, change: RulesetChanged) -> bool:
        """Whether a change was written by this backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A backend with its renderer.

    Args:
        title: for people.
        why: it was chosen, for people.
        variant: the iptables, if it is that.
    """

    title: str
    why: str = ""
    renderer: Renders[Any]
    backend: Enforces[Any]
    variant: xtables.Variant | None = None


class Enforcement:
    """Enforces Admissions by the chosen backend. Once that has them in force, what another one has
    left is removed: while both are, a packet passes where both let it.

    Args:
        choice: of the configuration; another may be assigned at any time.
    """

    def __init__(self, choice: BackendName = "auto") -> None:
        self.choice: BackendName = choice
        self.settings = Settings()
        self._made_for: BackendName | None = None
        self._chosen: Chosen | None = None
        self._wanted: Any = None
        self._swept = False
        self._undecided = 0
        self._log_trial = LogTrial()

    @property
    def why(self) -> str:
        """Why this backend was chosen, for people; empty before the first Admission."""
        return self._chosen.why if self._chosen else ""

    @property
    def log_fault(self) -> str:
        """Why this host cannot tell of denied packets although the settings ask for it, while
        policies are in force all the same; empty where it can."""
        return self._log_trial.fault

    @property
    def title(self) -> str:
        """The backend in use, for people; empty before the first Admission."""
        return self._chosen.title if self._chosen else ""

    @property
    def watched(self) -> frozenset[str]:
        """The tables of nftables whose changes, as the kernel tells them, concern us."""
        return self._chosen.backend.watched if self._chosen else frozenset()

    async def apply(self, admission: Admission) -> bool:
        """Bring an Admission in force.

        Returns:
            Whether anything had to be written.

        Raises:
            RulesetError: refused, or there is no such backend here; what was in force before still
                is.
        """
        chosen, choice = self._chosen, self.choice
        if chosen is None or self._made_for != choice:
            chosen = await self._choose(choice)
        chosen.renderer.settings = await self._log_trial.possible(self.settings, chosen.variant)
        wanted = chosen.renderer.render(admission)
        written = await chosen.backend.apply(wanted)
        if chosen is not self._chosen:
            about = {"backend": chosen.title, "why": chosen.why}
            log.info("another backend enforces policies now", extra=about)
            self._swept = False
        self._chosen, self._made_for, self._wanted = chosen, choice, wanted
        if not self._swept:
            self._swept = await _sweep(chosen)
        return written

    async def _choose(self, choice: BackendName) -> Chosen:
        try:
            chosen = await choose(choice, patient=self._undecided < UNDECIDED_LIMIT)
        except UndecidedError:
            self._undecided += 1
            raise
        self._undecided = 0
        return chosen

    @property
    def drifted(self) -> Reading | None:
        """What the kernel held when drift was last found; None where nothing of ours was left."""
        backend = self._chosen.backend if self._chosen else None
        if isinstance(backend, xtables.Backend):
            return backend.drifted
        return (backend.drifted or None) if isinstance(backend, Backend) else None

    async def reading(self) -> Reading | None:
        """What the kernel holds, for those who interpret it; None where there is nothing of ours.

        Raises:
            RulesetError: it cannot be read.
        """
        backend = self._chosen.backend if self._chosen else None
        return await (backend.read_back() if isinstance(backend, xtables.Backend) else table_text())

    async def drift(self) -> tuple[Difference, ...]:
        """What differs in the kernel from the Admission that was applied last.

        Raises:
            RulesetError: it cannot be read.
        """
        return await self._chosen.backend.drift(self._wanted) if self._chosen else ()

    async def repair(self) -> None:
        """Bring the last Admission in force again, whatever the kernel holds.

        Raises:
            RulesetError: refused.
        """
        if self._chosen:
            await self._chosen.backend.replace(self._wanted)

    async def counters(self) -> Mapping[str, int]:
        """Packets dropped so far, by counter name.

        Raises:
            RulesetError: they cannot be read.
        """
        return await self._chosen.backend.counters() if self._chosen else {}

    async def denied(self) -> DeniedPackets:
        """Packets denied so far, by direction and endpoint's interface. Retransmissions count: of a
        connection that is denied, each attempt is one packet.

        Raises:
            RulesetError: they cannot be read.
        """
        return await self._chosen.backend.denied() if self._chosen else {}

    def own(self, change: RulesetChanged) -> bool:
        """Whether a change that the kernel reported was written by us."""
        return self._chosen is not None and self._chosen.backend.own(change)


async def _sweep(chosen: Chosen) -> bool:
    """Remove what other backends have left; whether nothing of them is left."""
    try:
        async for other in others(chosen):
            await other.backend.remove()
            log.info("removed the policies of another backend", extra={"backend": other.title})
    except RulesetError as error:
        log.warning(
            "policies of another backend are still in force too", extra={"reason": str(error)}
        )
        return False
    return True


class UndecidedError(RulesetError):
    """Whether nftables works cannot be told at this moment."""


async def choose(choice: BackendName, *, patient: bool = True) -> Chosen:
    """The backend that the configuration asks for.

    Args:
        choice: of the configuration.
        patient: whether `auto` rather waits than takes iptables without need.

    Raises:
        UndecidedError: it depends on nftables, and whether that works cannot be told now.
        RulesetError: it is not to be had here.
    """
    if choice == "auto":
        return await _automatic(patient=patient)
    asked = "the configuration asks for it"
    if choice == "nftables":
        trial = await try_nftables()
        if trial.works:
            return _nftables(asked)
        raise RulesetError(f"nftables does not work here: {trial.reason}")
    if choice == "iptables":
        return _iptables(await xtables.choose(), f"{asked}; of the kind that the host uses")
    for each in await xtables.variants():
        if choice == f"iptables-{each.kind}":
            return _iptables(each, asked)
    raise RulesetError(f"{choice} is not installed: install it, or set `backend: iptables`")


async def _automatic(*, patient: bool) -> Chosen:
    holding = await _holding()
    if holding is not None and holding.variant is not None:
        return holding
    trial = await try_nftables()
    if holding is not None and (trial.works or not trial.certain):
        return holding
    if trial.works:
        return _nftables("it works here")
    if not trial.certain and patient:
        raise UndecidedError(
            f"whether nftables works cannot be told, trying again: {trial.reason}"
            " (`backend: iptables` would do without)"
        )
    why = f"nftables does not work here: {trial.reason}"
    log.warning("taking iptables", extra={"reason": why})
    return _iptables(await xtables.choose(), why)


async def _holding() -> Chosen | None:
    """The backend that has rules of ours in the kernel already; of two, nftables."""
    why = "it holds the policies already"
    if await _has_table():
        return _nftables(why)
    if shutil.which("iptables") is None or shutil.which("ipset") is None:
        return None
    for each in await xtables.variants():
        if await xtables.left_over(each):
            return _iptables(each, why)
    return None


async def others(chosen: Chosen) -> AsyncIterator[Chosen]:
    """The other backends that have left something of ours."""
    if chosen.variant is not None and await _has_table():
        yield _nftables()
    if shutil.which("iptables") is None or shutil.which("ipset") is None:
        return
    for each in await xtables.variants():
        if each != chosen.variant and await xtables.left_over(each):
            yield _iptables(each)


async def _has_table() -> bool:
    """Whether nftables has a table of ours.

    Raises:
        RulesetError: that cannot be told.
    """
    try:
        tables = await run("nft", "list", "tables")
    except CommandError as error:
        if absent(error) or not may_pass(error):
            return False  # no nftables, in the program or in the kernel
        raise RulesetError(f"the tables of nftables cannot be listed: {error}") from error
    return f"table {TABLE}" in tables.splitlines()


def _nftables(why: str = "") -> Chosen:
    return Chosen(
        title="nftables", why=why, renderer=nftables.Renderer(Settings()), backend=Backend()
    )


def _iptables(variant: xtables.Variant, why: str = "") -> Chosen:
    return Chosen(
        title=str(variant),
        why=why,
        renderer=xtables.Renderer(Settings()),
        backend=xtables.Backend(variant),
        variant=variant,
    )
