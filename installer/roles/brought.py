"""Programs that the installer brings along, for hosts whose distribution has none that are new
enough. Each lies in a directory of its version, and a link says which is in use."""

from __future__ import annotations

from collections.abc import Iterator

from installer.artifacts.romana_release import BROUGHT_PYTHON
from installer.artifacts.upstream import PYTHON, Name
from installer.distributions import find
from installer.hosts.facts import Facts
from installer.resources import Archive, Binary, Resource, Symlink
from installer.roles.programs import BIN
from installer.roles.role import Target

CNI_PLUGINS = "/opt/cni/plugins"
_COMMANDS = {
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "etcd": ("etcd", "etcdctl"),
}


def wanted(facts: Facts, *, controller: bool) -> tuple[Name, ...]:
    """What has to be brought to a host.

    Args:
        facts: of the host.
        controller: whether the control plane is to run there.
    """
    row = find(facts.os_id, facts.os_version)
    if row is None or row.packages is None:
        return ()
    programs: tuple[Name, ...] = row.packages.brought
    found = tuple(name for name in programs if controller or name != "etcd")
    return found if row.runs_agent else (*found, "python")


def is_brought(target: Target, name: Name) -> bool:
    """Whether the host gets it from us rather than from its distribution."""
    return name in wanted(target.facts, controller=target.host.is_controller)


def python_version(facts: Facts) -> str:
    """The Python that the agent runs with on a host: its distribution's own, which `base` installs
    where it is missing, or the relocatable one."""
    row = find(facts.os_id, facts.os_version)
    if row is None:
        return facts.python
    return row.python if row.runs_agent else PYTHON


def programs(target: Target, name: Name) -> Iterator[Resource]:
    """A program of another project and its commands in /usr/local/bin; nothing where the
    distribution has it."""
    if not is_brought(target, name):
        return
    if name == "runc":
        had = target.artifacts.upstream[name]
        yield Binary(f"{BIN}/runc", source=had.source, sha256=had.sha256)
        return
    yield _archive(target, name)
    for command in _COMMANDS[name]:
        inside = "bin/" if name == "containerd" else ""
        yield Symlink(f"{BIN}/{command}", f"/opt/{name}/current/{inside}{command}")


def cni_plugins(target: Target, names: tuple[str, ...]) -> Iterator[Resource]:
    """The CNI plugins of these names, where the distribution has none."""
    if is_brought(target, "cni-plugins"):
        had = target.artifacts.upstream["cni-plugins"]
        yield Archive(
            f"{CNI_PLUGINS}-{had.version}",
            source=had.source,
            sha256=had.sha256,
            link=CNI_PLUGINS,
            only=tuple(f"./{name}" for name in names),
        )


def python(target: Target) -> Iterator[Archive]:
    """The relocatable CPython, beside the agent's releases, where the host's own is too old."""
    if is_brought(target, "python"):
        had = target.artifacts.upstream["python"]
        yield Archive(
            f"{BROUGHT_PYTHON}-{had.version}",
            source=had.source,
            sha256=had.sha256,
            link=BROUGHT_PYTHON,
            strip=1,
        )


def _archive(target: Target, name: Name) -> Archive:
    had, place = target.artifacts.upstream[name], f"/opt/{name}"
    return Archive(
        f"{place}/{had.version}",
        source=had.source,
        sha256=had.sha256,
        link=f"{place}/current",
        # containerd's has bin/ at its top, etcd's a directory named after itself.
        strip=0 if name == "containerd" else 1,
    )
