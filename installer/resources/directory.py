"""A directory with known mode and owner, and a path where nothing may be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from installer.resources.base import Change
from installer.resources.records import keep_access
from installer.resources.shell import digest_of, make_directory, quote


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; what is in it is left alone. When all is taken off, the ledger has it: see
    `ledger`."""

    path: str
    _: KW_ONLY
    mode: int = 0o755
    owner: str = "root:root"

    @property
    def id(self) -> str:
        """`directory:PATH`."""
        return f"directory:{self.path}"

    @property
    def digest(self) -> str:
        """Covers path, mode and owner."""
        return digest_of(self.id, self.mode, self.owner)

    def probe(self) -> str:
        """Prints kind, mode and owner, following a symbolic link."""
        return f"stat -L -c '%F|%a|%U:%G' {quote(self.path)} 2>/dev/null || echo absent\n"

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Made with its parents; a file in its place is an error that the repair reports."""
        wanted = f"directory|{self.mode:o}|{self.owner}"
        if seen.strip() == wanted:
            return None
        path = quote(self.path)
        return Change(
            before=seen.strip().replace("|", " "),
            after=wanted.replace("|", " "),
            repair=(
                f"{keep_access(self.path)}{make_directory(self.path)}"
                f"chown {quote(self.owner)} {path}\nchmod {self.mode:04o} {path}\n"
            ),
        )


@dataclass(frozen=True, slots=True)
class Absent:
    """A path where nothing may be: a leftover of an earlier version. A directory goes with all
    that is in it."""

    path: str

    @property
    def id(self) -> str:
        """`absent:PATH`."""
        return f"absent:{self.path}"

    @property
    def digest(self) -> str:
        """Covers the path."""
        return digest_of(self.id)

    def probe(self) -> str:
        """Prints what is there."""
        return f"stat -c '%F' {quote(self.path)} 2>/dev/null || echo absent\n"

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Removed, whatever it is."""
        if seen.strip() == "absent":
            return None
        return Change(
            before=seen.strip(),
            after="absent",
            repair=f"rm -rf --one-file-system {quote(self.path)}\n",
        )
