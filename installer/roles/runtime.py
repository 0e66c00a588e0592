"""The container runtime: containerd with runc, and the CNI plugins that it needs beside
Romana's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from installer import images
from installer.hosts.facts import Facts
from installer.hosts.init import of
from installer.resources import Directory, File, Resource, Service, Symlink
from installer.roles.base import package_names
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
            systemd_cgroup=_toml(cgroup_driver(target.facts) == "systemd"),
            # Lowering a score below one's own takes a capability that a container does not have.
            restrict_oom_score_adj=_toml(bool(target.facts.container)),
        ),
    )
    yield Directory(CNI_BIN)
    yield Directory(CNI_CONF)
    plugins = package_names(target).cni_plugins
    for plugin in PLUGINS:
        yield Symlink(f"{CNI_BIN}/{plugin}", f"{plugins}/{plugin}")
    yield config
    yield File("/etc/crictl.yaml", render("runtime/crictl.yaml", endpoint=ENDPOINT))
    yield Service(
        "containerd",
        init=of(target.facts),
        description="containerd, the container runtime",
        command=("/usr/bin/containerd",),
        type="notify",
        limits=(("NOFILE", "1048576"), ("NPROC", "infinity"), ("CORE", "infinity")),
        directives=(
            # Pods live on while containerd restarts, in cgroups of their own.
            ("KillMode", "process"),
            ("Delegate", "yes"),
            ("TasksMax", "infinity"),
            ("OOMScoreAdjust", "-999"),
        ),
        restart_on=(config,),
        ready="ctr --timeout 3s version",
    )


def cgroup_driver(facts: Facts) -> Literal["systemd", "cgroupfs"]:
    """Who makes the cgroups of pods. systemd where it rules them; on a host that is a container
    with cgroup v1 it does
    not, and the runtime makes them itself."""
    return "cgroupfs" if facts.container and facts.cgroup == "v1" else "systemd"


def _toml(value: bool) -> str:
    return "true" if value else "false"
