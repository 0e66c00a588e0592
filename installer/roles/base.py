"""What every host needs of its distribution: packages, kernel modules, kernel settings."""

from __future__ import annotations

from collections.abc import Iterator

from installer.distributions import Packages, find, names
from installer.hosts.facts import Facts
from installer.resources import File, Module, Package, Resource, Sysctl, User
from installer.roles.role import Target

MODULES = ("overlay", "nf_conntrack", "nf_tables")
_FORWARDING = (("net.ipv4.ip_forward", "1"),)
_WATCHES = (
    # Each kubelet, containerd and agent watches files; the default of 128 instances runs out.
    ("fs.inotify.max_user_instances", "1024"),
    ("fs.inotify.max_user_watches", "524288"),
)


def base(target: Target) -> Iterator[Resource]:
    """Packages in one go, then modules and kernel settings. A host that is itself a container has
    its machine's kernel:
    only what belongs to its own network is set there."""
    if target.cluster.package_repository:
        yield File("/etc/apt/sources.list.d/romana.list", target.cluster.package_repository + "\n")
    if target.host.is_controller:
        # Before the package, which makes the same user where it finds none.
        yield User("etcd", home="/var/lib/etcd")
    yield Package(packages(target))
    if not target.facts.container:
        yield Module("romana", MODULES)
    yield Sysctl("romana", _FORWARDING if target.facts.container else _FORWARDING + _WATCHES)


def packages(target: Target) -> tuple[str, ...]:
    """Names of all packages that the host needs, for one call of its package manager."""
    called = package_names(target)
    wanted = called.base + called.runtime
    return wanted + called.etcd if target.host.is_controller else wanted


def python_version(facts: Facts) -> str:
    """The Python that the agent runs with on a host: its distribution's own, which `base` installs
    where it is missing."""
    found = find(facts.os_id, facts.os_version)
    return found.python if found else facts.python


def package_names(target: Target) -> Packages:
    """What the host's distribution calls its packages; preflight has seen to it that it is one that
    clusters can be laid down on."""
    found = names(target.facts.os_id, target.facts.os_version)
    assert found is not None
    return found
