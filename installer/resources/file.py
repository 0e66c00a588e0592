"""A file with known content, mode and owner."""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field

from installer.resources.base import Change, Payload
from installer.resources.records import departure, keep, left, put_back
from installer.resources.shell import digest_of, install_file, quote, sha256, short

SHOWN_BYTES = 32768
"""Files larger than this are compared by digest only; their old content is not fetched for a
diff."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file.

    Args:
        path: absolute.
        content: its bytes, or text to be encoded as UTF-8; usually the output of a template.
        mode: permission bits.
        owner: "user:group".
        secret: never show the content; a diff names digests only.
    """

    path: str
    content: str | bytes = field(repr=False)
    _: KW_ONLY
    mode: int = 0o644
    owner: str = "root:root"
    secret: bool = False

    @property
    def id(self) -> str:
        """`file:PATH`."""
        return f"file:{self.path}"

    @property
    def data(self) -> bytes:
        """The content as bytes."""
        return self.content.encode() if isinstance(self.content, str) else self.content

    @property
    def digest(self) -> str:
        """Covers content, mode and owner."""
        return digest_of(self.id, sha256(self.data), self.mode, self.owner)

    def probe(self) -> str:
        """Prints kind, mode and owner, then the digest, then the content in base64 where it may be
        shown and differs."""
        path, wanted = quote(self.path), sha256(self.data)
        show = (
            ""
            if self.secret
            else (
                f'if [ "$sum" != {wanted} ] && '
                f'[ "$(stat -c %s {path})" -le {SHOWN_BYTES} ]; then base64 {path}; fi\n'
            )
        )
        return (
            f"stat -c '%F|%a|%U:%G' {path} 2>/dev/null || {{ echo absent; exit 0; }}\n"
            f"[ -f {path} ] && [ ! -L {path} ] || exit 0\n"
            f"sum=$(sha256sum {path})\nsum=${{sum%% *}}\n"
            f'echo "$sum"\n{show}'
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Content replaced by rename; mode and owner alone are set in place."""
        first, _, rest = seen.strip().partition("\n")
        kind, _, access = first.partition("|")
        if "regular" not in kind:
            return self._replace(kind or "absent", b"")
        there, _, encoded = rest.partition("\n")
        wanted = sha256(self.data)
        if there.strip() != wanted:
            return self._replace(short(there), _decoded(encoded))
        mode, _, owner = access.partition("|")
        if int(mode, 8) == self.mode and owner == self.owner:
            return None
        path = quote(self.path)
        return Change(
            before=f"{mode} {owner}",
            after=f"{self.mode:o} {self.owner}",
            repair=f"{keep(self.path)}chown {quote(self.owner)} {path}\n"
            f"chmod {self.mode:04o} {path}\n",
        )

    def left(self) -> str:
        """Whether it is ours."""
        return left(self.path)

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Removed, or what was there before put back."""
        return departure(seen, put_back(self.path))

    def _replace(self, before: str, old: bytes) -> Change:
        after = short(sha256(self.data))
        return Change(
            before=before,
            after=after,
            diff=self._diff(before, old),
            repair=install_file("content", self.path, mode=self.mode, owner=self.owner),
            files=(Payload(name="content", content=self.data),),
        )

    def _diff(self, before: str, old: bytes) -> str:
        if self.secret:
            return unified(self.path, f"sha256 {before}\n", f"sha256 {short(sha256(self.data))}\n")
        try:
            return unified(self.path, old.decode(), self.data.decode())
        except UnicodeDecodeError:
            return ""


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=False)
    except binascii.Error:
        return b""


def unified(path: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{path} (now)", f"{path} (wanted)", lineterm="", n=2
    )
    return "\n".join(lines)
