"""The records of a host as a whole: begun before anything else is written, ended after everything
else has been taken off."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from installer.resources.base import Change
from installer.resources.records import ADOPTED, BACK, BEFORE, LOCK, STAMPS, quote
from installer.resources.shell import digest_of

HOME = "/var/lib/romana"
TABLES = f"{STAMPS}/nft-tables"
"""Tables of nftables that were there before."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of a host as a whole, begun before anything else is written.

    Args:
        paths: directories that programs of ours fill while they run. One that was not there before
            goes with all that is in it; one that was empty is emptied; one that held something is
            left alone, but for files that are resources themselves.
        nftables: whether the host may have tables of nftables, whose names are recorded.
    """

    paths: tuple[str, ...]
    nftables: bool = True

    @property
    def id(self) -> str:
        """`ledger:host`."""
        return "ledger:host"

    @property
    def digest(self) -> str:
        """Covers the paths."""
        return digest_of(self.id, *self.paths)

    def probe(self) -> str:
        """Prints "adopt" on a host that was installed before there were records, then the paths
        that have none."""
        return (
            f"if [ -d {STAMPS} ] && [ ! -d {BEFORE} ]; then\n"
            f'for stamp in {STAMPS}/services/*; do [ ! -e "$stamp" ] || {{ echo adopt; break; }}; '
            "done\nfi\n"
            f"[ ! -e {ADOPTED} ] || exit 0\n"
            f"for path in {self._words}; do\nrecord={BEFORE}$path\n"
            '[ -e "$record.absent" ] || [ -e "$record.empty" ] || [ -e "$record.inhabited" ] || '
            'echo "$path"\ndone\n'
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Records what is at each path."""
        if not seen.strip():
            return None
        if "adopt" in seen.split():
            repair = f"mkdir -p {BEFORE}\nchmod 0700 {BEFORE}\n: >{ADOPTED}\n"
            return Change(before="installed without records", after="adopted", repair=repair)
        return Change(before="not recorded", after="recorded", repair=self._record())

    def left(self) -> str:
        """Prints the paths that have a record."""
        return (
            f"[ -d {STAMPS} ] || [ -d {STAMPS}.gone ] || exit 0\necho records\n"
            f"[ -d {BEFORE} ] || exit 0\n"
            f"cd {BEFORE}\nfind . -type f ! -name '*.inhabited' | cut -c2- | sort | head -n 500\n"
        )

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """All that is still recorded is put back, the deepest first; then the records go."""
        rows = seen.split()
        if not rows:
            return None
        return Change(
            before=f"{len(rows) - 1} records",
            after=BACK,
            diff="\n".join(f"-{row}" for row in rows[1:]),
            repair=self._sweep(),
            timeout_s=300,
        )

    @property
    def _words(self) -> str:
        return " ".join(quote(path) for path in self.paths)

    def _record(self) -> str:
        listed = f"[ -e {TABLES} ] || {{ nft list tables 2>/dev/null || :; }} >{TABLES}\n"
        tables = listed if self.nftables else ""
        return (
            f"mkdir -p {BEFORE}\nchmod 0700 {BEFORE}\n"
            f"{tables}for path in {self._words}; do\nrecord={BEFORE}$path\n"
            'if [ -e "$record.absent" ] || [ -e "$record.empty" ] || [ -e "$record.inhabited" ]; '
            "then continue; fi\n"
            'mkdir -p "${record%/*}"\n'
            'if [ ! -e "$path" ]; then : >"$record.absent"\n'
            'elif [ -d "$path" ] && [ -z "$(ls -A "$path")" ]; then '
            'stat -L -c \'%a %U:%G\' "$path" >"$record.empty"\n'
            'else : >"$record.inhabited"; fi\ndone\n'
        )

    def _sweep(self) -> str:
        """Files first: what is in a directory may itself be a thing that was there before. A
        directory that we only made for a file of ours goes if nothing else is in it by now."""
        return (
            f"adopted=; [ ! -e {ADOPTED} ] || adopted=yes\n"
            f"if [ -d {BEFORE} ]; then\n"
            # Leftover copies of what was there before: of paths that no role knows any more.
            f"find {BEFORE} -depth -name '*.kept' | while read -r record; do\n"
            f"path=${{record#{BEFORE}}}; path=${{path%.kept}}\n"
            '[ -d "${path%/*}" ] || continue\n'
            'rm -rf "$path.romana-new"; cp -a "$record" "$path.romana-new"\n'
            'if [ -d "$path" ] && [ ! -L "$path" ]; then rm -rf --one-file-system "$path"; fi\n'
            'mv -fT "$path.romana-new" "$path"; rm -rf "$record"\ndone\n'
            f"for path in {self._words}; do\nrecord={BEFORE}$path\n"
            'if [ -e "$record.absent" ] || [ -n "$adopted" ]; then '
            'rm -rf --one-file-system "$path"\n'
            'elif [ -e "$record.empty" ]; then\n'
            '[ ! -d "$path" ] || find "$path" -xdev -mindepth 1 -delete\n'
            'read -r mode owner <"$record.empty"; [ -d "$path" ] || mkdir "$path"\n'
            'chown "$owner" "$path"; chmod "$mode" "$path"\nfi\ndone\n'
            f"find {BEFORE} -depth -name '*.access' | while read -r record; do\n"
            f"path=${{record#{BEFORE}}}; path=${{path%.access}}\n"
            '[ -d "$path" ] || continue\nread -r mode owner <"$record"\n'
            'chown "$owner" "$path"; chmod "$mode" "$path"\ndone\n'
            f"find {BEFORE} -depth -name '*.absent' | sort -r | while read -r record; do\n"
            f"path=${{record#{BEFORE}}}; path=${{path%.absent}}\n"
            'if [ -d "$path" ] && [ ! -L "$path" ]; then rmdir "$path" 2>/dev/null || :\n'
            'else rm -f "$path"; fi\ndone\nfi\n'
            f"rm -rf {STAMPS}.gone\n[ ! -d {STAMPS} ] || mv -T {STAMPS} {STAMPS}.gone\n"
            f"rm -rf {STAMPS}.gone\nrm -f {LOCK}\nrmdir {HOME} 2>/dev/null || :\n"
        )
