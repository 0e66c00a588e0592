"""What a cluster of the sandbox holds on this machine, and its removal, proven by a comparison."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

from installer.errors import PlatformError
from installer.platforms.sandbox import cgroups, publish
from romana.lab import forward
from romana.lab import leftovers as lab

HOSTS = Path("/var/lib/romana/sandbox")
"""A directory for each cluster, with one for each host."""
_NSPAWN = Path("/run/systemd/nspawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All that bears a cluster's prefix. Falsy when that is nothing."""

    namespaces: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{len(getattr(self, each.name))} {each.name}" for each in fields(self))

    def minus(self, other: Inventory) -> Inventory:
        """What is here and not there: `after.minus(before)` is what a run has left."""
        return Inventory(
            **{
                each.name: tuple(
                    x for x in getattr(self, each.name) if x not in getattr(other, each.name)
                )
                for each in fields(self)
            }
        )


def prefix_of(cluster: str) -> str:
    """The lab's name for a cluster."""
    return f"romana-{cluster}"


def take(cluster: str) -> Inventory:
    """Everything of that cluster on this machine, found by name: no record is needed."""
    prefix, directory = prefix_of(cluster), HOSTS / cluster
    inside = lab.find(prefix)
    groups = cgroups.named(prefix)
    pids = set(inside.processes) | set(forward.find(prefix))
    for name in {group.name for group in groups}:
        pids.update(cgroups.processes(name))
    return Inventory(
        namespaces=inside.namespaces,
        mounts=mounts_of(Path("/proc/self/mountinfo").read_text(), prefix, directory),
        processes=tuple(f"{pid} {_name(pid)}" for pid in sorted(pids)),
        cgroups=tuple(map(str, groups)),
        directories=tuple(str(path) for path in (directory, *_runtime(prefix)) if path.exists()),
    )


def mounts_of(mountinfo: str, prefix: str, directory: Path) -> tuple[str, ...]:
    """Mount points below the cluster's directory, or whose name bears its prefix; the lab's
    namespaces, which are mounts too, are counted as namespaces."""
    points = [Path(line.split()[4]) for line in mountinfo.splitlines()]
    return tuple(
        str(point)
        for point in points
        if point.is_relative_to(directory)
        or (point.name.startswith(f"{prefix}.") and point.parent.name != "netns")
    )


def remove(cluster: str) -> tuple[Inventory, Inventory]:
    """Remove everything of that cluster; what there was before, and what there is after.

    Raises:
        PlatformError: something is still there.
    """
    before = take(cluster)
    prefix, directory = prefix_of(cluster), HOSTS / cluster
    publish.withdraw(prefix)
    for name in {group.name for group in cgroups.named(prefix)}:
        cgroups.kill(name)
    lab.remove(prefix)
    for name in {group.name for group in cgroups.named(prefix)}:
        cgroups.remove(name)
    # Deepest first; the last is the memory file system that a machine without a plain one gets.
    for point in reversed(mounts_of(Path("/proc/self/mountinfo").read_text(), prefix, directory)):
        subprocess.run(("umount", "--lazy", point), check=False, capture_output=True)
    for path in (directory, *_runtime(prefix)):
        if path.is_dir():
            shutil.rmtree(path)
    after = take(cluster)
    if after:
        raise PlatformError(
            f"cluster {cluster} is not quite gone: {after}", f"left: {_spell(after)}"
        )
    return before, after


def _runtime(prefix: str) -> tuple[Path, ...]:
    """Directories that systemd-nspawn keeps for its machines."""
    return tuple(sorted(_NSPAWN.glob(f"*/{prefix}.*")))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"


def _spell(left: Inventory) -> str:
    return ", ".join(x for each in fields(left) for x in getattr(left, each.name))
