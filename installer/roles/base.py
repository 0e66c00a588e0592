"""What every host needs of its distribution: packages, kernel modules, kernel settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from installer.distributions import Packages, find, names
from installer.hosts.init import of
from installer.resources import (
    Archive,
    Condition,
    File,
    Ledger,
    Module,
    Package,
    Resource,
    Service,
    Sysctl,
    User,
)
from installer.roles import data_plane
from installer.roles.role import Target

_MODULES = ("nf_conntrack",)
HOST_SERVICE = "romana-host"
PACKAGES = "/opt/romana/packages"
"""Where hosts without an archive in reach have the packages that were brought to them."""
PACKAGE_SOURCES = "/etc/romana/packages.list"
"""Not below /etc/apt: the host's own updates are none of ours."""
FILLED = (
    "/etc/cni",
    "/etc/containerd",
    "/etc/haproxy",
    "/etc/kubernetes",
    "/etc/romana",
    "/opt/cni",
    "/opt/containerd",
    "/opt/etcd",
    "/opt/romana",
    "/run/containerd",
    "/run/romana",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/etcd/member",
    "/var/lib/haproxy",
    "/var/lib/kube-proxy",
    "/var/lib/kubelet",
    "/var/lib/romana/apt",
    "/var/lib/romana/snapshots",
    "/var/log/containers",
    "/var/log/pods",
)
"""Directories that our programs fill while they run."""
_SET_BY_PROGRAMS = ("net.ipv4.conf.all.route_localnet", "net.ipv6.conf.all.forwarding")
_SET_ON_MACHINES = (
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
)
"""What the kubelet and the service proxy set at their start."""
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
    yield Ledger(FILLED, nftables=target.facts.init == "systemd")
    if target.cluster.package_mirror:
        yield File("/etc/apt/sources.list", _sources(target))
    if target.cluster.package_repository:
        yield File("/etc/apt/sources.list.d/romana.list", target.cluster.package_repository + "\n")
    carried = target.artifacts.packages.get(system(target))
    if carried is not None:
        yield Archive(PACKAGES, source=carried.source, sha256=carried.sha256)
        yield File(PACKAGE_SOURCES, f"deb [trusted=yes] file:{PACKAGES} ./\n")
    if target.host.is_controller:
        # Before the package, which makes the same user where it finds none.
        yield User("etcd", home="/var/lib/etcd")
    if target.cluster.balanced:
        yield User("haproxy", home="/var/lib/haproxy")
    yield Package(packages(target), only_from=_only_from(target))
    yield from _kernel(target)
    if target.facts.init == "upstart":
        yield from _as_systemd_does(target)


def _kernel(target: Target) -> Iterator[Resource]:
    if target.facts.container:
        yield Sysctl("romana", _FORWARDING, also=_SET_BY_PROGRAMS)
        return
    yield Module("romana", modules(target))
    also = _SET_BY_PROGRAMS + _SET_ON_MACHINES
    yield Sysctl("romana", _FORWARDING + _WATCHES, also=also)


def system(target: Target) -> str:
    """The host's release of its distribution, as bundles name it: "debian-12"."""
    return f"{target.facts.os_id}-{target.facts.os_version}"


def modules(target: Target) -> tuple[str, ...]:
    """Kernel modules that a host needs, those of its data plane among them."""
    facts = target.facts
    overlay = ("overlay",) if "overlay" in facts.modules else ()
    return overlay + _MODULES + data_plane.modules(facts, target.cluster.network.backend)


def _as_systemd_does(target: Target) -> Iterator[Resource]:
    """What systemd does as it boots: mount the control groups, load modules (upstart's job reads
    /etc/modules alone), and share the root's mounts, which pods may want to follow."""
    yield Condition(
        "control groups are mounted",
        holds="grep -q ' /sys/fs/cgroup/pids cgroup ' /proc/mounts",
        repair="initctl start cgroup-lite || :",
        evidence="cat /proc/cgroups",
        timeout_s=10,
    )
    words = () if target.facts.container else ("modprobe", "-a", *modules(target), "&&")
    yield Service(
        HOST_SERVICE,
        init=of(target.facts),
        description="What pods and their network need of the host",
        command=("/bin/sh", "-c", " ".join((*words, "mount --make-rshared /"))),
        type="oneshot",
    )


def _sources(target: Target) -> str:
    """apt's sources at the mirror that the inventory names, for all that the release ever had
    there."""
    row = find(target.facts.os_id, target.facts.os_version)
    assert row is not None  # preflight has seen to it
    parts = "main universe" if row.id == "ubuntu" else "main"
    head = "# Written by romana-install: package_mirror of the inventory.\n"
    mirror = target.cluster.package_mirror
    return head + "".join(f"deb {mirror} {each} {parts}\n" for each in (row.codename, *row.pockets))


def packages(target: Target) -> tuple[str, ...]:
    """Names of all packages that the host needs, for one call of its package manager."""
    called = package_names(target)
    wanted = tuple(each for each in called.base + called.runtime if not _pinned(target, each))
    more = data_plane.packages(target.facts, target.cluster.network.backend)
    wanted += tuple(each for each in more if each not in wanted)
    wanted += called.balancer if target.cluster.balanced else ()
    pinned = target.cluster.etcd != "auto"
    return wanted + called.etcd if target.host.is_controller and not pinned else wanted


def pinned_packages(target: Target, program: Literal["containerd", "etcd"]) -> Iterator[Package]:
    """The packages of a program at the version that the inventory names; nothing where it names
    none, or where the program does not come from a package."""
    called = package_names(target)
    version: str = getattr(target.cluster, program)
    names = ("containerd",) if program == "containerd" else called.etcd
    if version == "auto" or program in called.brought:
        return
    yield Package(
        tuple(f"{name}={pin(version)}" for name in names),
        only_from=_only_from(target),
    )


def pin(version: str) -> str:
    """A version as apt takes it: one without a revision stands for any revision of its package.

    What ends in an asterisk is a beginning for apt, with nothing in it that stands for others
    (`pkgVersionMatch`); so this does not.
    """
    return version if "-" in version else f"{version}[-+~]*?"


def _only_from(target: Target) -> str:
    """The file of the only source that packages may come from; empty where any will do."""
    return PACKAGE_SOURCES if target.artifacts.packages.get(system(target)) is not None else ""


def _pinned(target: Target, package: str) -> bool:
    return package == "containerd" and target.cluster.containerd != "auto"


def package_names(target: Target) -> Packages:
    """What the host's distribution calls its packages; preflight has seen to it that it is one that
    clusters can be laid down on."""
    found = names(target.facts.os_id, target.facts.os_version)
    assert found is not None
    return found
