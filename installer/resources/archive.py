"""A release: an archive unpacked under a directory named after its version, and a link that says
which one is in use."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from installer.resources.base import Change, Payload
from installer.resources.records import departure, keep, left, put_back
from installer.resources.shell import digest_of, make_parent, quote, short
from installer.resources.symlink import switch

STAMP = ".romana-sha256"


@dataclass(frozen=True, slots=True)
class Archive:
    """A .tar.gz or .tar unpacked at `path`.

    Args:
        path: the directory, which should bear the version: /opt/romana/releases/1.0.
        source: the archive on the operator's machine.
        sha256: of the archive; checked on the host before it is unpacked.
        link: a symbolic link that points at `path`, switched in one rename; empty for none.
        strip: leading components to drop from member names.
        only: members to unpack; empty for all.
    """

    path: str
    _: KW_ONLY
    source: Path
    sha256: str
    link: str = ""
    strip: int = 0
    only: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`archive:PATH`."""
        return f"archive:{self.path}"

    @property
    def digest(self) -> str:
        """Covers the archive's digest, its place and the link."""
        return digest_of(self.id, self.sha256, self.link, self.strip, self.only)

    def probe(self) -> str:
        """Prints the digest recorded when it was unpacked, then what the link says."""
        link = f"readlink {quote(self.link)} 2>/dev/null || echo absent\n" if self.link else ""
        return f"cat {quote(f'{self.path}/{STAMP}')} 2>/dev/null || echo absent\n{link}"

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Unpacked beside its place and moved there when complete; then the link is switched."""
        there, _, linked = seen.strip().partition("\n")
        unpacked = there == self._stamp
        if unpacked and linked == (self.path if self.link else ""):
            return None
        repair = "" if unpacked else self._unpack()
        if self.link:
            repair += switch(self.link, self.path)
        return Change(
            before=f"{self.link} at {linked}" if unpacked else short(there),
            after=f"{self.link} at {self.path}" if unpacked else short(self.sha256),
            repair=repair,
            files=() if unpacked else (Payload(name="archive", source=self.source),),
            timeout_s=300,
        )

    def left(self) -> str:
        """Whether the release or the link are ours."""
        return "".join(f"(\n{left(path)})\n" for path in self._places)

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """The link first, so that it never leads nowhere."""
        return departure(seen, "".join(put_back(path) for path in self._places))

    @property
    def _places(self) -> tuple[str, ...]:
        return (self.link, self.path) if self.link else (self.path,)

    @property
    def _stamp(self) -> str:
        return f"{self.sha256} {self.strip} {' '.join(self.only)}".strip()

    def _unpack(self) -> str:
        path, new, old = (quote(self.path + end) for end in ("", ".romana-new", ".romana-old"))
        only = "".join(f" {quote(member)}" for member in self.only)
        return (
            f"{keep(self.path)}{make_parent(self.path)}"
            f"echo '{self.sha256}  archive' | sha256sum -c --quiet -\n"
            f"rm -rf {new} {old}\nmkdir {new}\n"
            f"tar -xf archive -C {new} --no-same-owner --strip-components={self.strip}{only}\n"
            f"chmod 0755 {new}\n"
            f"echo {quote(self._stamp)} >{new}/{STAMP}\n"
            f"[ ! -e {path} ] || mv -T {path} {old}\n"
            f"mv -T {new} {path}\nrm -rf {old} archive\n"
        )
