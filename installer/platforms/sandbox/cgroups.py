"""Control groups: one per host in every hierarchy, so that two kubelets never share one.

cgroup v1 (also beside v2, "hybrid"): a group directly below each hierarchy's root, with all that is
of the host in it. cgroup v2 alone: the same, but with all controllers passed down; and since a
group that passes controllers down may hold no processes itself (cgroups(7)), the supervisor and the
host proper each have a group below it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from installer.errors import PlatformError
from romana.lab.leftovers import end

EMPTY_LIMIT_S = 15.0
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """A mounted hierarchy. `unified` for cgroup v2; `controllers` as in the mount's options."""

    path: Path
    unified: bool
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """Where processes go: groups to join by the supervisor, and then by the host proper."""

    supervisor: tuple[Path, ...]
    host: tuple[Path, ...]


def parse_hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """The hierarchies below /sys/fs/cgroup, from /proc/PID/mountinfo (proc(5))."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        path = Path(before.split()[4])
        if kind in ("cgroup", "cgroup2") and path.is_relative_to("/sys/fs/cgroup"):
            controllers = frozenset(options.split(","))
            found[path] = Hierarchy(path=path, unified=kind == "cgroup2", controllers=controllers)
    return tuple(found[path] for path in sorted(found))


def hierarchies() -> tuple[Hierarchy, ...]:
    """Those of this machine.

    Raises:
        PlatformError: there is none.
    """
    found = parse_hierarchies(_MOUNTS.read_text())
    if not found:
        raise PlatformError(
            "no control groups are mounted on /sys/fs/cgroup", "mount cgroup2 there"
        )
    return found


def is_unified(found: tuple[Hierarchy, ...]) -> bool:
    """Whether cgroup v2 is all there is."""
    return found[0].unified and found[0].path == Path("/sys/fs/cgroup")


def groups(name: str) -> tuple[Path, ...]:
    """The directories of a group of this name, in every hierarchy, made or not."""
    return tuple(hierarchy.path / name for hierarchy in hierarchies())


def make(name: str) -> Seats:
    """Make the group in every hierarchy."""
    found = hierarchies()
    for hierarchy in found:
        group = hierarchy.path / name
        group.mkdir(exist_ok=True)
        if "cpuset" in hierarchy.controllers:
            for setting in ("cpuset.cpus", "cpuset.mems"):
                (group / setting).write_text((hierarchy.path / setting).read_text())
    made = groups(name)
    if not is_unified(found):
        return Seats(supervisor=made, host=made)
    seats = Seats(supervisor=(made[0] / "supervisor",), host=(made[0] / "host",))
    for group in (*seats.supervisor, *seats.host):
        group.mkdir(exist_ok=True)
    for group in (found[0].path, made[0]):
        pass_down(group)
    return seats


def pass_down(group: Path) -> None:
    """Let the groups below one of cgroup v2 have all its controllers.

    Raises:
        OSError: the kernel refuses.
    """
    for controller in (group / "cgroup.controllers").read_text().split():
        (group / "cgroup.subtree_control").write_text(f"+{controller}")


def processes(name: str) -> tuple[int, ...]:
    """Everything that runs in the group and below it, in any hierarchy."""
    found: set[int] = set()
    for group in groups(name):
        for folder, _, _ in os.walk(group):
            try:
                found.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
            except OSError:
                # A group that went away while it was walked holds nothing.
                continue
    return tuple(sorted(found - {0, os.getpid()}))


def kill(name: str) -> None:
    """End everything in the group, and wait until it is empty.

    Raises:
        LabError: a process does not end.
        PlatformError: the group fills up again and again.
    """
    limit = time.monotonic() + EMPTY_LIMIT_S
    while left := processes(name):
        if time.monotonic() > limit:
            raise PlatformError(f"processes of {name} do not end: {left}", "look at them with ps")
        for pid in left:
            end(pid)


def remove(name: str) -> None:
    """Remove the group and those below it; it has to be empty of processes.

    Raises:
        PlatformError: the kernel still holds one of them after `EMPTY_LIMIT_S`.
    """
    limit = time.monotonic() + EMPTY_LIMIT_S
    for group in groups(name):
        while group.exists() and not _removed(group):
            if time.monotonic() > limit:
                raise PlatformError(f"control group {group} is still in use", "run destroy again")
            time.sleep(0.02)


def _removed(group: Path) -> bool:
    """Whether everything could be removed; a group whose last process is being reaped is busy."""
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            return False
    return True


def named(prefix: str) -> tuple[Path, ...]:
    """Groups directly below the roots whose name is `prefix.` and more."""
    return tuple(
        sorted(
            path
            for hierarchy in hierarchies()
            for path in hierarchy.path.glob(f"{prefix}.*")
            if path.is_dir()
        )
    )
