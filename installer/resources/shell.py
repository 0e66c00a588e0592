"""Pieces of POSIX sh that several kinds of resources share, and the digest of what they want."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import PurePosixPath

from installer.resources.records import BEFORE, keep

quote = shlex.quote


def sha256(data: bytes) -> str:
    """The hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def digest_of(*parts: object) -> str:
    """One digest over several values, each told apart from its neighbours; order matters."""
    sums = "\n".join(hashlib.sha256(str(part).encode()).hexdigest() for part in parts)
    return sha256(sums.encode())


def short(digest: str) -> str:
    """A digest as shown to people."""
    return digest[:12]


def sum_of(path: str) -> str:
    """Sh text that sets `sum` to the SHA-256 of the file at `path`, or to "absent"."""
    return f"{{ sum=$(sha256sum {quote(path)}); }} 2>/dev/null || sum=absent\nsum=${{sum%% *}}\n"


def make_parent(path: str) -> str:
    """Sh text that makes the directory `path` is to lie in, where it is missing."""
    return make_directory(str(PurePosixPath(path).parent))


def make_directory(path: str) -> str:
    """Sh text that makes a directory where it is missing, and records that it was: of itself and
    of those above it."""
    return (
        f"[ -d {quote(path)} ] || {{ d={quote(path)}\n"
        'while [ -n "$d" ] && [ ! -d "$d" ]; do\n'
        f'r={BEFORE}"$d.absent"; mkdir -p "${{r%/*}}"; [ -e "$r" ] || : >"$r"; d=${{d%/*}}\ndone\n'
        f"mkdir -p {quote(path)}; }}\n"
    )


def install_file(name: str, path: str, *, mode: int, owner: str) -> str:
    """Sh text that puts the carried file `name` at `path` by an atomic rename, never readable by
    more than `mode`."""
    new = quote(f"{path}.romana-new")
    return (
        f"{keep(path)}{make_parent(path)}"
        f"(umask 077 && cat {quote(name)} >{new})\n"
        f"chown {quote(owner)} {new}\n"
        f"chmod {mode:04o} {new}\n"
        f"mv -fT {new} {quote(path)}\n"
    )


def read_stamp(variable: str, path: str) -> str:
    """Sh text that sets a variable to the line recorded at `path`, or to "none". Without a process
    of its own."""
    file = quote(path)
    return f"{variable}=none\n[ ! -r {file} ] || read -r {variable} <{file} || :\n"


def write_stamp(path: str, word: str) -> str:
    """Sh text that records one line at `path`, atomically.

    Args:
        path: absolute, below STAMPS.
        word: what to record, as one word of sh: quoted text, or "$variable" in double quotes.
    """
    new, parent = quote(f"{path}.new"), quote(str(PurePosixPath(path).parent))
    return f"mkdir -p {parent}\nprintf '%s\\n' {word} >{new}\nmv -f {new} {quote(path)}\n"
