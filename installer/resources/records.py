"""What was on a host before us: recorded there when something is first written, so that all of it
can be taken off again, and what was there before comes back.

Records lie below `BEFORE`, each under the path that it is of:

    PATH.absent     nothing was there; what is there now is ours
    PATH.kept       a copy of what was there
    PATH.empty      a directory with nothing in it; the file holds its mode and owner
    PATH.inhabited  a directory with something in it, which is not ours to empty
    PATH.access     a directory whose mode and owner we have changed; the file holds the old ones

A record is made before the first write, and goes when what it is of has been put back: a run that
is killed in between is taken up by the next one, and a second run finds nothing. `ADOPTED` says
that the host was installed before there were records: there, what lies at our paths is ours.
"""

from __future__ import annotations

import shlex

from installer.resources.base import Change

STAMPS = "/var/lib/romana/installer"
"""Where hosts record what the installer made of them: inputs of services, digests of large
files."""
BEFORE = f"{STAMPS}/before"
LOCK = "/run/romana-install.lock"
"""Held by what changes a host."""
quote = shlex.quote
ADOPTED = f"{BEFORE}/adopted"
GONE = "absent"
BACK = "as it was before"


def keep(path: str) -> str:
    """Sh text that records, once, what is at `path`."""
    return (
        f"{_names(path)}"
        'if [ ! -e "$r.absent" ] && [ ! -e "$r.kept" ] && [ ! -L "$r.kept" ]; then\n'
        'mkdir -p "${r%/*}"\n'
        f'if [ ! -e {ADOPTED} ] && {{ [ -e "$p" ] || [ -L "$p" ]; }}; then\n'
        'rm -rf "$r.new"; cp -a "$p" "$r.new"; mv -T "$r.new" "$r.kept"\n'
        'else : >"$r.absent"; fi\nfi\n'
    )


def keep_access(path: str) -> str:
    """Sh text that records, once, mode and owner of a directory that is there."""
    return (
        f"{_names(path)}"
        f'if [ -d "$p" ] && [ ! -e "$r.absent" ] && [ ! -e "$r.access" ] && [ ! -e "$r.empty" ] && '
        f"[ ! -e {ADOPTED} ]; then\n"
        'mkdir -p "${r%/*}"\n'
        'stat -L -c \'%a %U:%G\' "$p" >"$r.access"\nfi\n'
    )


def left(path: str) -> str:
    """Sh text that prints a word if `path` is ours to take off: "ours", or "replaced" where
    something else was there before."""
    return (
        f"{_names(path)}"
        'if [ -e "$r.kept" ] || [ -L "$r.kept" ]; then echo replaced\n'
        'elif [ -e "$r.absent" ]; then echo ours\n'
        f'elif [ -e {ADOPTED} ] && {{ [ -e "$p" ] || [ -L "$p" ]; }}; then echo ours; fi\n'
    )


def put_back(path: str) -> str:
    """Sh text that removes what is at `path`, or puts back what was there before."""
    return (
        f"{_names(path)}"
        'if [ -e "$r.kept" ] || [ -L "$r.kept" ]; then\n'
        'rm -rf "$p.romana-new"; cp -a "$r.kept" "$p.romana-new"\n'
        '[ ! -d "$p" ] || [ -L "$p" ] || rm -rf --one-file-system "$p"\n'
        'mv -fT "$p.romana-new" "$p"; rm -rf "$r.kept"\n'
        'else rm -rf --one-file-system "$p"; fi\nrm -f "$r.absent"\n'
    )


def departure(seen: str, removal: str, timeout_s: float = 60) -> Change | None:
    """The change that takes a resource off a host, or None where nothing of it is left.

    Args:
        seen: what its `left` printed.
        removal: sh text.
        timeout_s: for the removal.
    """
    words = seen.split()
    if not words:
        return None
    after = BACK if "replaced" in words else GONE
    return Change(before="there", after=after, repair=removal, timeout_s=timeout_s)


def _names(path: str) -> str:
    """Sets `p` to the path, and `r` to what its records' names begin with."""
    return f'p={quote(path)}; r={BEFORE}"$p"\n'
