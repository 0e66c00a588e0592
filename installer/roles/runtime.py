"""The container runtime: containerd with runc, and the CNI plugins that it needs beside
Romana's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from installer import images
from installer.hosts.facts import Facts
from installer.hosts.init import of
from installer.resources import Directory, File, Resource, Service, Symlink
from installer.roles.base import HOST_SERVICE, package_names, pinned_packages
from installer.roles.brought import cni_plugins, programs
from installer.roles.programs import BIN
from installer.roles.rendering import render
from installer.roles.role import Target

ENDPOINT = "unix:///run/containerd/containerd.sock"
CNI_BIN = "/opt/cni/bin"
CNI_CONF = "/etc/cni/net.d"
PLUGINS = ("loopback", "portmap")


def runtime(target: Target) -> Iterator[Resource]:
    """containerd's configuration and service. It is ready when its socket answers."""
    config = File(
        "/etc/containerd/config.toml",
        render(
            "runtime/config.toml",
            pause_image=images.PAUSE,
            cni_bin=CNI_BIN,
            cni_conf=CNI_CONF,
            snapshotter=snapshotter(target.facts),
            systemd_cgroup=_toml(cgroup_driver(target.facts) == "systemd"),
            # Lowering a score below one's own takes a capability that a container does not have.
            restrict_oom_score_adj=_toml(bool(target.facts.container)),
        ),
    )
    yield Directory(CNI_BIN)
    yield Directory(CNI_CONF)
    program = (*programs(target, "containerd"), *programs(target, "runc"))
    package = tuple(pinned_packages(target, "containerd"))
    yield from program
    yield from package
    yield from cni_plugins(target, PLUGINS)
    plugins = package_names(target).cni_plugins
    for plugin in PLUGINS:
        yield Symlink(f"{CNI_BIN}/{plugin}", f"{plugins}/{plugin}")
    yield config
    yield File("/etc/crictl.yaml", render("runtime/crictl.yaml", endpoint=ENDPOINT))
    yield Service(
        "containerd",
        init=of(target.facts),
        description="containerd, the container runtime",
        command=(f"{BIN}/containerd" if program else "/usr/bin/containerd",),
        type="notify",
        after=_after(target.facts),
        limits=(("NOFILE", "1048576"), ("NPROC", "infinity"), ("CORE", "infinity")),
        directives=(
            # Pods live on while containerd restarts, in cgroups of their own.
            ("KillMode", "process"),
            ("Delegate", "yes"),
            ("TasksMax", "infinity"),
            ("OOMScoreAdjust", "-999"),
        ),
        restart_on=(*program, *package, config),
        ready="ctr --timeout 3s version",
    )


def cgroup_driver(facts: Facts) -> Literal["systemd", "cgroupfs"]:
    """Who makes the cgroups of pods. systemd where it rules them; on a host that is a container
    with cgroup v1 it does
    not, and the runtime makes them itself; nor where there is no systemd."""
    within = facts.container and facts.cgroup == "v1"
    return "cgroupfs" if within or facts.init != "systemd" else "systemd"


def snapshotter(facts: Facts) -> Literal["overlayfs", "native"]:
    """What containers' file systems are made of: an overlay where the kernel has one, copies
    otherwise. Ubuntu's 3.13 calls its own `overlayfs`, which containerd cannot use."""
    return "overlayfs" if "overlay" in facts.modules else "native"


def _after(facts: Facts) -> tuple[str, ...]:
    network = "network-online.target"
    return (network, f"{HOST_SERVICE}.service") if facts.init == "upstart" else (network,)


def _toml(value: bool) -> str:
    return "true" if value else "false"
