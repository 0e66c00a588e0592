"""The kubelet on every host: controllers have one too, with a taint that keeps ordinary pods
away."""

from __future__ import annotations

from collections.abc import Iterator

from installer import images, releases
from installer.cluster import Host
from installer.hosts.init import of
from installer.resources import File, Resource, Service
from installer.roles import pki
from installer.roles.asking import curl
from installer.roles.pki import CA, KUBELET_PKI, KUBERNETES
from installer.roles.programs import program
from installer.roles.rendering import render
from installer.roles.role import Target
from installer.roles.runtime import ENDPOINT, cgroup_driver

CONFIG = "/var/lib/kubelet/config.yaml"
ZONE_LABEL = "topology.kubernetes.io/zone"
SEGMENT_LABEL = "romana.io/segment"
_NO_CLOUD = (("AWS_EC2_METADATA_DISABLED", "true"),)


def kubelet(target: Target) -> Iterator[Resource]:
    """Binary, configuration and service. It is ready when its own health endpoint says so; whether
    the node is Ready is
    the last role's question."""
    binary = program(target, "kubelet")
    config = File(CONFIG, _config(target))
    yield binary
    yield config
    yield Service(
        "kubelet",
        init=of(target.facts),
        description="Kubernetes node agent",
        command=(binary.path, *_flags(target)),
        after=("network-online.target", "containerd.service", "romana-agent.service"),
        # Without it, early versions ask for a cloud's credentials at each start, for seconds.
        environment=() if target.cluster.platform == "aws" else _NO_CLOUD,
        limits=(("NOFILE", "1048576"),),
        # Pods and their mounts live on while the kubelet restarts.
        directives=(("KillMode", "process"), ("Delegate", "yes")),
        restart_on=(
            binary,
            config,
            pki.authority(target, "kubernetes"),
            *pki.kubelet_files(target),
        ),
        ready=curl("http://127.0.0.1:10248/healthz"),
    )


def labels(host: Host) -> dict[str, str]:
    """The labels of a host's node: where it is, and what the inventory says of it."""
    return {ZONE_LABEL: host.zone, SEGMENT_LABEL: host.segment, **dict(host.labels)}


def _config(target: Target) -> str:
    version, fields = target.artifacts.kubernetes, []
    if releases.endpoint_in_file(version):
        fields.append(("containerRuntimeEndpoint", ENDPOINT))
    return render(
        "kubelet/config.yaml",
        address=target.host.address,
        authority=CA,
        certificate=f"{KUBELET_PKI}/kubelet.crt",
        key=f"{KUBELET_PKI}/kubelet.key",
        cgroup_driver=cgroup_driver(target.facts),
        dns=target.cluster.network.dns_service,
        domain=target.cluster.domain,
        # A container sees its machine's swap and cannot turn it off.
        fail_swap_on="false" if target.facts.container else "true",
        fields=fields,
    )


def _flags(target: Target) -> tuple[str, ...]:
    version, host = target.artifacts.kubernetes, target.host
    taints = list(host.taints)
    if host.is_controller and not host.is_node:
        taints.append(releases.controller_taint(version))
    joined = ",".join(f"{key}={value}" for key, value in sorted(labels(host).items()))
    return (
        f"--config={CONFIG}",
        f"--kubeconfig={KUBERNETES}/kubelet.conf",
        f"--hostname-override={host.name}",
        f"--node-ip={host.address}",
        f"--node-labels={joined}",
        *((f"--register-with-taints={','.join(taints)}",) if taints else ()),
        *releases.flags("kubelet", version, endpoint=ENDPOINT, pause=images.PAUSE),
    )
