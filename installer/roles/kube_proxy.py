"""kube-proxy on every host: Service addresses, by iptables."""

from __future__ import annotations

from collections.abc import Iterator

from installer.hosts.init import of
from installer.resources import Directory, File, Resource, Service
from installer.roles import pki
from installer.roles.asking import curl
from installer.roles.pki import KUBERNETES
from installer.roles.programs import program
from installer.roles.rendering import render
from installer.roles.role import Target

CONFIG = "/var/lib/kube-proxy/config.yaml"
_LEAVE_CONNTRACK_ALONE = (
    ("maxPerCore", "0"),
    ("min", "0"),
    ("tcpCloseWaitTimeout", "0s"),
    ("tcpEstablishedTimeout", "0s"),
)


def kube_proxy(target: Target) -> Iterator[Resource]:
    """Binary, configuration and service. It is ready when it has written its rules once."""
    binary = program(target, "kube-proxy")
    config = File(
        CONFIG,
        render(
            "kube_proxy/config.yaml",
            # An address that is given is not looked up: the Node may not be there yet.
            address=target.host.address,
            name=target.host.name,
            kubeconfig=f"{KUBERNETES}/kube-proxy.conf",
            pods=target.cluster.network.pods,
            # The limits are the machine's, not a container's to set.
            conntrack=_LEAVE_CONNTRACK_ALONE if target.facts.container else (),
        ),
    )
    yield binary
    yield Directory("/var/lib/kube-proxy")
    yield config
    yield Service(
        "kube-proxy",
        init=of(target.facts),
        description="Kubernetes service proxy",
        command=(binary.path, f"--config={CONFIG}"),
        limits=(("NOFILE", "1048576"),),
        restart_on=(binary, config, pki.kubeconfig_file(target, "kube-proxy")),
        ready=curl("http://127.0.0.1:10256/healthz"),
    )
