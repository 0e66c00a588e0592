"""Whether hosts are fit: all problems of all hosts at once, each with its remedy. Nothing has been
changed yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from installer import distributions, releases
from installer.cluster import Cluster, Host
from installer.errors import Problem
from installer.hosts.facts import Facts, kernel_release
from installer.roles import data_plane, preflight_network
from installer.roles.role import Target

CLOCK_SKEW_S = 30.0
_MODULES = ("nf_conntrack", "veth")
_APT_WITH_HTTPS = (1, 5)
"""Before it that takes the package apt-transport-https."""
_MEMORY_MB = {True: 1024, False: 512}
_DISK_MB = {True: 3072, False: 2048}
_ARCHITECTURES = ("x86_64", "aarch64")
# Program names as the kernel keeps them: fifteen letters.
_NODE_PORTS = {10248: "kubelet", 10249: "kube-proxy", 10250: "kubelet", 10256: "kube-proxy"}
_CONTROLLER_PORTS = {2379: "etcd", 2380: "etcd", 10257: "kube-controller", 10259: "kube-scheduler"}
_AGENT_PORT = 9607
_NEAR_LIMIT = 0.9

Check = Callable[[Host, Facts, Cluster, str], Iterator[tuple[str, str]]]
"""What is wrong with one host in itself: (finding, remedy)."""


def problems(targets: Sequence[Target]) -> tuple[Problem, ...]:
    """Everything that keeps the hosts from becoming the cluster; empty when they are fit."""
    if not targets:
        return ()
    first = targets[0]
    facts = {target.host.name: target.facts for target in targets}
    return examine(first.cluster, facts, first.artifacts.kubernetes)


def examine(cluster: Cluster, facts: Mapping[str, Facts], version: str) -> tuple[Problem, ...]:
    """Like `problems`, from the values themselves.

    Args:
        cluster: what is wanted.
        facts: by host name, of those hosts that could be reached.
        version: of Kubernetes.
    """
    found = [
        Problem(where=host.name, what=what, advice=advice)
        for host in cluster.hosts
        if host.name in facts
        for check in _CHECKS
        for what, advice in check(host, facts[host.name], cluster, version)
    ]
    for compare in (_clocks, _twins, preflight_network.twins, _mtus, _mixed_architectures):
        found.extend(compare(cluster, facts))
    return tuple(found)


def newest_release(facts: Mapping[str, Facts]) -> int:
    """The newest minor release of Kubernetes 1.x that all hosts can run as they are; that of the
    installer where one of them can run none, which preflight then says."""
    fitting = (
        releases.newest_for(kernel=kernel_release(seen.kernel), cgroup_v1=seen.cgroup == "v1")
        for seen in facts.values()
    )
    return min((each or releases.NEWEST for each in fitting), default=releases.NEWEST)


def libraries(
    facts: Mapping[str, Facts], programs: Mapping[str, tuple[int, int]], version: str
) -> tuple[Problem, ...]:
    """Programs that would not start with a host's C library; most of Kubernetes' are static, the
    kubelet is not.

    Args:
        facts: by host name.
        programs: the glibc that each needs, by its name; those that need none left out.
        version: of Kubernetes.
    """
    return tuple(
        Problem(
            where=name,
            what=f"{program} {version} needs glibc {needed[0]}.{needed[1]}, and {row.name} has "
            f"{row.libc[0]}.{row.libc[1]}",
            advice="use an older kubernetes:, or a download_url with static builds",
        )
        for name, seen in facts.items()
        if (row := distributions.find(seen.os_id, seen.os_version))
        for program, needed in sorted(programs.items())
        if needed > row.libc
    )


def notes(cluster: Cluster, facts: Mapping[str, Facts]) -> tuple[str, ...]:
    """What is no problem but should be said."""
    swapping = [name for name, seen in facts.items() if seen.container and seen.swap_mb]
    copying = [name for name, seen in facts.items() if "overlay" not in seen.modules]
    found = []
    if swapping:
        found.append(
            f"{', '.join(swapping)}: a container sees its machine's swap; the kubelet starts all "
            "the same (failSwapOn: false)"
        )
    if copying:
        found.append(
            f"{', '.join(copying)}: the kernel has no overlay, so containers' files are copied, "
            "which takes time and space (Ubuntu: linux-image-extra-$(uname -r) may have it)"
        )
    return tuple(found)


def _root(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    if facts.uid != 0:
        yield (
            f"user {host.ssh.user} does not become root",
            f"allow it: echo '{host.ssh.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/romana",
        )


def _system(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    row = distributions.find(facts.os_id, facts.os_version)
    if row is None or row.packages is None:
        name = row.name if row else f"{facts.os_id or 'its system'} {facts.os_version}".strip()
        why = f": {row.lacks}" if row else ""
        yield (
            f"{name} is not supported{why}",
            f"use one of {', '.join(distributions.supported())}",
        )
    if facts.architecture not in _ARCHITECTURES:
        yield (
            f"architecture {facts.architecture} is not supported",
            f"use one of {', '.join(_ARCHITECTURES)}",
        )
    if facts.init not in ("systemd", "upstart"):
        yield (
            f"its init system is {facts.init}",
            "use a system that boots with systemd (or upstart, as Ubuntu 14.04 does)",
        )
    if row and row.apt < _APT_WITH_HTTPS and cluster.package_mirror.startswith("https:"):
        yield (
            f"apt of {row.name} does not speak https, and package_mirror does",
            f"use http:{cluster.package_mirror.removeprefix('https:')} (packages are signed)",
        )


def _kernel(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    needed, own = releases.minimum_kernel(version), kernel_release(facts.kernel)
    if own < needed:
        why = releases.why_kernel(version)
        yield (
            f"kernel {facts.kernel} is older than {needed[0]}.{needed[1]}, which Kubernetes "
            f"{version} needs: {why}",
            _newer_kernel(facts, needed),
        )
    yield from data_plane.lacks(facts, cluster.network.backend)
    missing = [module for module in _MODULES if module not in facts.modules]
    if missing:
        yield (
            f"the kernel has no {', '.join(missing)}",
            "install the kernel's extra modules (Ubuntu: linux-modules-extra-$(uname -r))",
        )


def _newer_kernel(facts: Facts, needed: tuple[int, int]) -> str:
    """How to get over a kernel that is too old: the newest of the release's own archive, if that is
    new enough, or the newest Kubernetes that runs with it."""
    row = distributions.find(facts.os_id, facts.os_version)
    newest = max(kernel_release(facts.kernel), row.kernels[1] if row else (0, 0))
    fits = releases.newest_for(kernel=newest, cgroup_v1=facts.cgroup == "v1")
    package = row.kernel_package if row else ""
    install = f"apt-get install {package}, then reboot" if package else "install a newer kernel"
    if newest >= needed:
        return install
    if fits is None:
        return f"{install}, or use a newer release of the distribution"
    runs_now = kernel_release(facts.kernel) >= releases.minimum_kernel(f"v1.{fits}.0")
    return f"{'' if runs_now else f'{install}, and '}use kubernetes: v1.{fits}.x or older"


def _cgroup(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    if facts.cgroup == "v1" and not releases.runs_on_cgroup_v1(version):
        newest = releases.newest_for(kernel=kernel_release(facts.kernel), cgroup_v1=True)
        yield (
            f"it has cgroup v1, and Kubernetes {version} needs v2",
            "boot with systemd.unified_cgroup_hierarchy=1, or use kubernetes: "
            f"v1.{newest}.x or older",
        )


def _runtime(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    named = "" if cluster.containerd == "auto" else cluster.containerd
    installed = named or dict(facts.packages).get("containerd", "")
    needed = releases.minimum_containerd(version)
    if installed and kernel_release(installed) < needed:
        yield (
            f"containerd {installed} is older than {needed[0]}.{needed[1]}, which Kubernetes "
            f"{version} needs",
            "upgrade the package containerd, or use an older kubernetes: in the inventory",
        )


def _swap(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    if facts.swap_mb and not facts.container:
        yield (
            f"{facts.swap_mb} MiB of swap are on, and the kubelet refuses to start with it",
            "swapoff -a, and remove the swap line from /etc/fstab",
        )


def _ports(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    for port, program in sorted(set(facts.listening)):
        owner = wanted_ports(host, cluster).get(port)
        if owner and not _is(program, owner, port):
            yield (
                f"port {port} is in use by {program or 'another program'}, and {owner} needs it",
                f"stop {program or 'that program'}, or give it another port",
            )


def wanted_ports(host: Host, cluster: Cluster) -> dict[int, str]:
    """Ports that our programs listen on, and the programs' names as the kernel keeps them."""
    ports = {**_NODE_PORTS, _AGENT_PORT: "romana-agent"}
    if host.is_controller:
        ports |= {**_CONTROLLER_PORTS, cluster.api_port: "kube-apiserver"}
    if cluster.balanced:
        ports[cluster.balancer_port] = "haproxy"
    return ports


def _is(program: str, owner: str, port: int) -> bool:
    # The agent is a Python program; the kernel knows it by its interpreter.
    return program == owner or (port == _AGENT_PORT and program.startswith("python"))


def _room(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    memory, disk = _MEMORY_MB[host.is_controller], _DISK_MB[host.is_controller]
    # Firmware and the kernel keep a little of what a machine is sold with.
    if facts.memory_mb < memory * _NEAR_LIMIT:
        yield f"{facts.memory_mb} MiB of memory, {memory} are needed", "give it more memory"
    installed = "containerd" in dict(facts.packages)
    if facts.disk_free_mb < (disk // 3 if installed else disk):
        yield (
            f"{facts.disk_free_mb} MiB are free at /var/lib, {disk} are needed",
            "free some space, or give it a larger disk",
        )


_CHECKS: tuple[Check, ...] = (
    _root,
    _system,
    _kernel,
    _cgroup,
    _runtime,
    _swap,
    _ports,
    _room,
    preflight_network.ranges,
    preflight_network.reach,
    preflight_network.strangers,
)


def _clocks(cluster: Cluster, facts: Mapping[str, Facts]) -> Iterator[Problem]:
    if not facts:
        return
    middle = median(seen.clock_offset_s for seen in facts.values())
    for name, seen in facts.items():
        skew = seen.clock_offset_s - middle
        if abs(skew) > CLOCK_SKEW_S:
            yield Problem(
                where=name,
                what=f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the "
                "others'",
                advice="let it keep time: apt-get install systemd-timesyncd (or chrony)",
            )


def _twins(cluster: Cluster, facts: Mapping[str, Facts]) -> Iterator[Problem]:
    kinds: tuple[tuple[str, Callable[[Facts], str], str], ...] = (
        ("host name", lambda seen: seen.hostname, "hostnamectl set-hostname NAME"),
        (
            "machine id",
            lambda seen: seen.machine_id,
            "rm /etc/machine-id && systemd-machine-id-setup, then reboot (they were cloned)",
        ),
    )
    for kind, value, advice in kinds:
        held: dict[str, str] = {}
        for name, seen in facts.items():
            if value(seen) and value(seen) in held:
                other = held[value(seen)]
                what = f"it has the same {kind} as {other}, {value(seen)}"
                yield Problem(where=name, what=what, advice=advice)
            held.setdefault(value(seen), name)


def _mtus(cluster: Cluster, facts: Mapping[str, Facts]) -> Iterator[Problem]:
    smallest = min((seen.mtu for seen in facts.values() if seen.mtu), default=0)
    wanted = cluster.network.mtu
    for name, seen in facts.items():
        if wanted and seen.mtu and seen.mtu < wanted:
            what = f"its MTU is {seen.mtu}, less than the {wanted} of the inventory"
            yield Problem(where=name, what=what, advice=f"use mtu: {smallest} in the inventory")
        elif not wanted and seen.mtu > smallest:
            yield Problem(
                where=name,
                what=f"its MTU is {seen.mtu}, and another host's is {smallest}",
                advice=f"make them equal, or use mtu: {smallest} in the inventory",
            )


def _mixed_architectures(cluster: Cluster, facts: Mapping[str, Facts]) -> Iterator[Problem]:
    first = next(iter(facts.values()), None)
    for name, seen in facts.items():
        if first and seen.architecture != first.architecture:
            yield Problem(
                where=name,
                what=f"it is {seen.architecture}, and other hosts are {first.architecture}",
                advice="make a cluster of hosts of one architecture",
            )
