"""Distribution packages (apt)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from fnmatch import fnmatchcase

from installer.resources.base import Change
from installer.resources.records import GONE, STAMPS
from installer.resources.shell import digest_of, quote

_POLICY = "/usr/sbin/policy-rc.d"
_LISTS = "/var/lib/romana/apt/lists"
"""Where apt keeps what it knows of sources that it is to look at alone."""
_OURS = f"{STAMPS}/packages"
"""Packages that were not on the host before we installed them, dependencies included."""
_PLANNED = f"{_OURS}.planned"
_MARK = "romana-install: services are started by their own resources"


@dataclass(frozen=True, slots=True)
class Package:
    """Packages that must be installed, all by one apt-get.

    Args:
        names: package names, or "name=version" where one version is wanted; a version may have
            apt's wildcards.
        start: let the packages start their services as they are installed. The default keeps them
            from it (a policy-rc.d for the time of the installation), since a Service writes its
            configuration first.
        lock_timeout_s: how long to wait for another apt or dpkg to finish.
        only_from: a file of apt sources that alone is looked at, in place of the host's own; empty
            for the host's.
    """

    names: tuple[str, ...]
    _: KW_ONLY
    start: bool = False
    lock_timeout_s: int = 120
    only_from: str = ""

    @property
    def id(self) -> str:
        """`package:NAME,NAME`."""
        return f"package:{','.join(name.partition('=')[0] for name in self.names)}"

    @property
    def digest(self) -> str:
        """Covers names and versions."""
        return digest_of("package", *self.names)

    def probe(self) -> str:
        """Prints "name version" of each that is fully installed, and whether a killed run left its
        policy file."""
        names = " ".join(quote(name.partition("=")[0]) for name in self.names)
        return (
            "dpkg-query -W -f='${db:Status-Abbrev}|${Package}|${Version}\\n' "
            f"{names} 2>/dev/null | sed -n 's/^ii |//p'\n"
            f"if [ -e {_POLICY} ] && grep -qs {quote(_MARK)} {_POLICY}; then "
            "echo 'leftover|policy-rc.d'; fi\n"
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Only what is missing is installed; a package that is there in any version satisfies a
        bare name."""
        rows = [line.split("|") for line in seen.split()]
        there = {row[0]: row[1] for row in rows if len(row) == 2}
        leftover = there.pop("leftover", "")
        missing = tuple(name for name in self.names if not _satisfied(name, there))
        if not missing and not leftover:
            return None
        before = [f"{name} {there.get(name.partition('=')[0], 'absent')}" for name in missing]
        return Change(
            before=", ".join(before) or "an interrupted installation's policy-rc.d",
            after=", ".join(missing) or "removed",
            repair=self._install(missing),
            timeout_s=900,
        )

    def _install(self, missing: tuple[str, ...]) -> str:
        if not missing:
            return f"rm -f {_POLICY}\n"
        words = " ".join(quote(name) for name in missing)
        apt = (
            f"apt-get -q -o DPkg::Lock::Timeout={self.lock_timeout_s} "
            "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
        )
        hold = "" if self.start else _hold_services()
        if self.only_from:
            apt += _alone(self.only_from)
            hold += f"mkdir -p {_LISTS}/partial\n"
        return (
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8\n"
            f"{_wait_for_lock(self.lock_timeout_s)}{hold}{_record_planned()}"
            # What a killed run left half done; asked first, since it needs the lock.
            '[ -z "$(dpkg --audit)" ] || dpkg --configure -a\n'
            # What it will bring is recorded first: "Inst NAME (...)" is new, "Inst NAME [...]"
            # an upgrade of what was there.
            f"plan() {{ {apt} install -s --no-install-recommends {words} | "
            f"sed -n 's/^Inst \\([^ ]*\\) (.*/\\1/p' >>{_PLANNED}; }}\n"
            f"install() {{ plan; {apt} install -y --no-install-recommends {words}; }}\n"
            f"if ! {apt} install -s --no-install-recommends {words} >/dev/null 2>&1; then "
            f"{apt} update; fi\n"
            # A list that knows the package may name a version that the mirror has replaced since.
            f"install || {{ {apt} update && install; }}\n{_record_planned()}"
        )

    def left(self) -> str:
        """Prints the names of packages that we have brought and that are there."""
        return (
            f"[ -e {_OURS} ] || [ -e {_PLANNED} ] || exit 0\necho recorded\n"
            f"names=$(cat {_OURS} {_PLANNED} 2>/dev/null | sort -u)\n"
            # Without a name, dpkg-query tells of all packages there are.
            '[ -n "$names" ] || exit 0\n'
            'echo "$names" | xargs '
            "dpkg-query -W -f='${db:Status-Abbrev}|${Package}|${Version}\\n' 2>/dev/null | "
            "sed -n 's/^.[^n] *|\\([^|]*\\)|.*/\\1/p'\n"
        )

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Purged, configuration files included. What something else on the host has come to need
        since stays."""
        if not (names := seen.split()[1:]) and not seen.strip():
            return None
        return Change(
            before=f"{len(names)} of ours",
            after=GONE,
            diff="\n".join(f"-{name}" for name in names),
            repair=self._purge(names) + f"rm -f {_OURS} {_PLANNED}\n",
            timeout_s=600,
        )

    def _purge(self, names: list[str]) -> str:
        """By dpkg itself, which never takes more than it is told; apt would take what depends on
        it as well."""
        if not names:
            return ""
        words = " ".join(quote(name) for name in names)
        return (
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n"
            f"{_wait_for_lock(self.lock_timeout_s)}"
            '[ -z "$(dpkg --audit)" ] || dpkg --configure -a\n'
            f"said=$(dpkg --purge {words} 2>&1) || {{\n"
            "wrong=$(echo \"$said\" | grep '^dpkg: error' | "
            "grep -v -e 'dependency problems' -e 'error processing package' || :)\n"
            '[ -z "$wrong" ] || { echo "$said" | tail -n 20; exit 1; }\n'
            'echo "$said" | sed -n \'s/.*dependency problems prevent removal of \\(.*\\):/'
            "\\1 stays: other packages need it/p'\n}\n"
        )


def _record_planned() -> str:
    """Sh text that counts as ours what was to be brought, also by a run that was killed since, and
    is there."""
    return (
        f"mkdir -p {STAMPS}\n"
        f"if [ -s {_PLANNED} ]; then\n: >>{_OURS}\n"
        f"sort -u {_PLANNED} | xargs "
        "dpkg-query -W -f='${db:Status-Abbrev}|${Package}|${Version}\\n' 2>/dev/null | "
        "sed -n 's/^.[^nc] *|\\([^|]*\\)|.*/\\1/p' | "
        f"sort -u - {_OURS} >{_OURS}.new\n"
        f"mv -f {_OURS}.new {_OURS}\nfi\nrm -f {_PLANNED}\n"
    )


def _alone(sources: str) -> str:
    """Options that have apt know one file of sources; what it knows of others is left as it is."""
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": _LISTS,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
    }
    return "".join(f" -o {quote(f'{key}={value}')}" for key, value in options.items())


def _satisfied(name: str, there: dict[str, str]) -> bool:
    bare, _, version = name.partition("=")
    return bare in there and (not version or fnmatchcase(there[bare], version))


def _wait_for_lock(limit_s: int) -> str:
    """Waits until no other dpkg holds its lock. apt before 1.9 has no option for it; fuser may be
    missing."""
    return (
        "if command -v fuser >/dev/null 2>&1; then\n"
        f"until_s=$(($(date +%s) + {limit_s}))\n"
        "while fuser /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend >/dev/null 2>&1; do\n"
        '[ "$(date +%s)" -lt "$until_s" ] || '
        f"{{ echo 'another program has held the dpkg lock for {limit_s} s'; exit 1; }}\n"
        "sleep 1\ndone\nfi\n"
    )


def _hold_services() -> str:
    return (
        f"if [ ! -e {_POLICY} ] || grep -qs {quote(_MARK)} {_POLICY}; then\n"
        f"trap 'rm -f {_POLICY}' EXIT\n"
        f"printf '#!/bin/sh\\n# %s\\nexit 101\\n' {quote(_MARK)} >{_POLICY}\n"
        f"chmod 0755 {_POLICY}\nfi\n"
    )
