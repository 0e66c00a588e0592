"""Kernel modules, loaded now and after a reboot."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from installer.resources.base import Change, Payload
from installer.resources.records import departure, left, put_back
from installer.resources.shell import digest_of, install_file, quote, sha256, sum_of


@dataclass(frozen=True, slots=True)
class Module:
    """Kernel modules, kept in /etc/modules-load.d/NAME.conf. What is built into the kernel counts
    as loaded.

    Args:
        name: of the file.
        modules: names as modprobe takes them.
    """

    name: str
    modules: tuple[str, ...]

    @property
    def id(self) -> str:
        """`module:NAME`."""
        return f"module:{self.name}"

    @property
    def digest(self) -> str:
        """Covers all names."""
        return digest_of(self.id, self.modules)

    @property
    def _path(self) -> str:
        return f"/etc/modules-load.d/{self.name}.conf"

    @property
    def _content(self) -> bytes:
        return "".join(f"{module}\n" for module in self.modules).encode()

    def probe(self) -> str:
        """Prints the file's digest, then the modules that are not there."""
        return (
            f"{sum_of(self._path)}"
            'echo "$sum"\n'
            f"for module in {' '.join(quote(module) for module in self.modules)}; do\n"
            'name=$(echo "$module" | tr - _)\n'
            '[ -d "/sys/module/$name" ] || grep -qw "$module" /proc/filesystems ||\n'
            'grep -qs "/$module\\.ko" "/lib/modules/$(uname -r)/modules.builtin" ||\n'
            'echo "$module"\n'
            "done\n"
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Loads those that are missing."""
        kept, *missing = seen.split() or ["absent"]
        if kept == sha256(self._content) and not missing:
            return None
        return Change(
            before=f"missing {' '.join(missing)}" if missing else f"{self._path} differs",
            after="loaded",
            repair=install_file("modules", self._path, mode=0o644, owner="root:root")
            + "".join(f"modprobe {quote(module)}\n" for module in missing),
            files=(Payload(name="modules", content=self._content),),
        )

    def left(self) -> str:
        """Whether the file is ours."""
        return left(self._path)

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """The file goes; what is loaded stays until the next boot, since others may use it."""
        return departure(seen, put_back(self._path))
