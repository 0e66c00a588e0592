"""One executable, carried compressed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from installer.resources.base import Change, Payload
from installer.resources.records import STAMPS, departure, keep, left, put_back
from installer.resources.shell import (
    digest_of,
    make_parent,
    quote,
    read_stamp,
    short,
    write_stamp,
)

_STAT = "%s %Y %Z %a %U:%G"


@dataclass(frozen=True, slots=True)
class Binary:
    """An executable at `path`, owned by root.

    Hashing a hundred megabytes takes longer than all other probes together, so the host records
    the digest with size and times of the file it belongs to, and hashes again only when those
    differ.

    Args:
        path: absolute.
        source: the file on the operator's machine; compressed with gzip if its name ends in .gz.
        sha256: of the executable itself, uncompressed.
    """

    path: str
    _: KW_ONLY
    source: Path
    sha256: str
    mode: int = 0o755

    @property
    def id(self) -> str:
        """`binary:PATH`."""
        return f"binary:{self.path}"

    @property
    def digest(self) -> str:
        """Covers the executable's digest and mode."""
        return digest_of(self.id, self.sha256, self.mode)

    @property
    def _stamp(self) -> str:
        return f"{STAMPS}/binaries/{self.path.strip('/').replace('/', '.')}"

    def probe(self) -> str:
        """Prints digest, mode and owner."""
        path = quote(self.path)
        return (
            f"[ -f {path} ] || {{ echo absent; exit 0; }}\n"
            f"now=$(stat -c '{_STAT}' {path})\n"
            f"{read_stamp('was', self._stamp)}"
            'if [ "${was#* }" = "$now" ]; then echo "$was"; else\n'
            f"sum=$(sha256sum <{path})\n"
            'echo "${sum%% *} $now"; fi\n'
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Unpacked beside its place, checked, then renamed."""
        words = seen.split()
        there, access = words[0] if words else "absent", words[-2:]
        if there == self.sha256 and access == [f"{self.mode:o}", "root:root"]:
            return None
        return Change(
            before=f"{short(there)} {' '.join(access)}" if len(words) > 1 else "absent",
            after=short(self.sha256),
            repair=self._repair(),
            files=(Payload(name=self._carried, source=self.source),),
            timeout_s=300,
        )

    def left(self) -> str:
        """Whether it is ours."""
        return left(self.path)

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Removed, or what was there before put back."""
        return departure(seen, f"{put_back(self.path)}rm -f {quote(self._stamp)}\n")

    @property
    def _carried(self) -> str:
        return "binary.gz" if self.source.name.endswith(".gz") else "binary"

    def _repair(self) -> str:
        path, new = quote(self.path), quote(f"{self.path}.romana-new")
        unpack = "gzip -dc binary.gz" if self._carried.endswith(".gz") else "cat binary"
        return (
            f"{keep(self.path)}{make_parent(self.path)}"
            f"{unpack} >{new}\n"
            f"sum=$(sha256sum <{new})\n"
            f'[ "${{sum%% *}}" = {self.sha256} ] || '
            f"{{ echo 'the transferred file has sha256' \"${{sum%% *}}\"; rm -f {new}; exit 1; }}\n"
            f"chown root:root {new}\nchmod {self.mode:04o} {new}\n"
            f"mv -fT {new} {path}\nrm -f {self._carried}\n"
            f"now=$(stat -c '{_STAT}' {path})\n" + write_stamp(self._stamp, f'"{self.sha256} $now"')
        )
