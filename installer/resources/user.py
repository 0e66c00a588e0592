"""A system user for a service to run as."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from installer.resources.base import Change
from installer.resources.records import BACK, GONE, STAMPS
from installer.resources.shell import digest_of, quote


@dataclass(frozen=True, slots=True)
class User:
    """A system user with a group of the same name; nobody logs in as it."""

    name: str
    _: KW_ONLY
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"

    @property
    def id(self) -> str:
        """`user:NAME`."""
        return f"user:{self.name}"

    @property
    def digest(self) -> str:
        """Covers name, home and shell."""
        return digest_of(self.id, self.home, self.shell)

    @property
    def _record(self) -> str:
        return f"{STAMPS}/users/{self.name}"

    def probe(self) -> str:
        """Prints home and shell."""
        return (
            f"entry=$(getent passwd {quote(self.name)}) || {{ echo absent; exit 0; }}\n"
            'echo "$entry" | cut -d: -f6,7\n'
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Created, or home and shell set."""
        wanted, there = f"{self.home}:{self.shell}", seen.strip().replace("/:", ":")
        if there == wanted:
            return None
        name, home, shell = quote(self.name), quote(self.home), quote(self.shell)
        # Asked again: a package of the same run may have made the user since it was probed.
        repair = (
            f"mkdir -p {STAMPS}/users\n"
            f"[ -e {self._record} ] || "
            f"{{ getent passwd {name} || echo absent; }} | cut -d: -f6,7 >{self._record}\n"
            f"if getent passwd {name} >/dev/null; then\n"
            f"usermod --home {home} --shell {shell} {name}\nelse\n"
            "useradd --system --user-group --no-create-home "
            f"--home-dir {home} --shell {shell} {name}\nfi\n"
        )
        return Change(before=there, after=wanted, repair=repair)

    def left(self) -> str:
        """Prints what was recorded of the user before."""
        return f"cat {self._record} 2>/dev/null || :\n"

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Removed with its group, or given its home and shell back."""
        if not (was := seen.strip()):
            return None
        name = quote(self.name)
        home, _, shell = was.partition(":")
        remove = (
            f"! getent passwd {name} >/dev/null || userdel {name}\n"
            f"! getent group {name} >/dev/null || groupdel {name}\n"
        )
        restore = f"usermod --home {quote(home)} --shell {quote(shell)} {name}\n"
        absent = was == "absent"
        return Change(
            before="ours" if absent else "changed",
            after=GONE if absent else BACK,
            repair=f"{remove if absent else restore}rm -f {self._record}\n",
        )
