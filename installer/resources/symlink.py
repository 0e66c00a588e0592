"""A symbolic link."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from installer.resources.base import Change
from installer.resources.records import departure, keep, left, put_back
from installer.resources.shell import digest_of, make_parent, quote


def switch(path: str, target: str) -> str:
    """Sh text that points the link `path` at `target` by an atomic rename."""
    new = quote(f"{path}.romana-new")
    return (
        f"{keep(path)}{make_parent(path)}"
        f"ln -sfn {quote(target)} {new}\nmv -fT {new} {quote(path)}\n"
    )


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link at `path` that says `target`; the target need not exist."""

    path: str
    target: str

    @property
    def id(self) -> str:
        """`symlink:PATH`."""
        return f"symlink:{self.path}"

    @property
    def digest(self) -> str:
        """Covers path and target."""
        return digest_of(self.id, self.target)

    def probe(self) -> str:
        """Prints the target, or what else is there."""
        path = quote(self.path)
        return (
            f"if [ -L {path} ]; then printf 'link '; readlink {path}\n"
            f"else stat -c '%F' {path} 2>/dev/null || echo absent; fi\n"
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Replaces a file or another link; a directory in its place is an error that the repair
        reports."""
        there = seen.strip()
        if there == f"link {self.target}":
            return None
        return Change(
            before=there.removeprefix("link "),
            after=self.target,
            repair=switch(self.path, self.target),
        )

    def left(self) -> str:
        """Whether it is ours."""
        return left(self.path)

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Removed, or what was there before put back."""
        return departure(seen, put_back(self.path))
