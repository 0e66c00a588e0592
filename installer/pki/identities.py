"""Who there is: the authorities, and the leaf certificates that each host needs.

Names, files and subjects are kubeadm's
(https://kubernetes.io/docs/setup/best-practices/certificates/), so that its tools and people's
habits keep working. Two things are stricter: the API server speaks to kubelets as a user of its
own who may do just that (kubeadm: a member of system:masters), and the controller manager and the
scheduler serve with certificates of the cluster's authority (kubeadm: self-signed).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal
from urllib.parse import urlsplit

from installer.cluster import Cluster, Host
from installer.pki.certificates import Subject

AuthorityName = Literal["kubernetes", "etcd", "front-proxy"]
OPERATOR = ""
"""In place of a host's name: what belongs to the operator and lies on no host."""
_LOOPBACK = IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority. `path` is its file's below the PKI directory, without an
    extension."""

    name: AuthorityName
    common_name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate that one host holds (or the operator, where `host` is empty)."""

    host: str
    name: str
    authority: AuthorityName
    subject: Subject


AUTHORITIES = (
    Authority(name="kubernetes", common_name="kubernetes", path="ca"),
    Authority(name="etcd", common_name="etcd-ca", path="etcd/ca"),
    Authority(name="front-proxy", common_name="front-proxy-ca", path="front-proxy-ca"),
)


def leaves(cluster: Cluster) -> Iterator[Leaf]:
    """All leaf certificates of a cluster: the operator's, every host's, every controller's."""
    yield ADMINISTRATOR
    for host in cluster.hosts:
        yield from _host_leaves(host)
        if host.is_controller:
            yield from _controller_leaves(cluster, host)
            yield from _etcd_leaves(host)


def _host_leaves(host: Host) -> Iterator[Leaf]:
    node = f"system:node:{host.name}"
    yield _client(host.name, "kubelet-client", node, "system:nodes")
    serving = Subject(
        common_name=node,
        organization="system:nodes",
        dns=(host.name,),
        addresses=(host.address,),
        server=True,
    )
    yield Leaf(host=host.name, name="kubelet", authority="kubernetes", subject=serving)
    yield _client(host.name, "proxy", "system:kube-proxy")
    yield _client(host.name, "agent", f"romana:agent:{host.name}", "romana:agents")


def _controller_leaves(cluster: Cluster, host: Host) -> Iterator[Leaf]:
    name = host.name
    names, addresses = _endpoint(cluster)
    apiserver = Subject(
        common_name="kube-apiserver",
        dns=(
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{cluster.domain}",
            name,
            "localhost",
            *names,
        ),
        addresses=(cluster.network.api_service, host.address, _LOOPBACK, *addresses),
        server=True,
    )
    yield Leaf(host=name, name="apiserver", authority="kubernetes", subject=apiserver)
    yield _client(name, "apiserver-kubelet-client", "kube-apiserver-kubelet-client")
    etcd_client = Subject(common_name="kube-apiserver-etcd-client", client=True)
    yield Leaf(host=name, name="apiserver-etcd-client", authority="etcd", subject=etcd_client)
    front = Subject(common_name="front-proxy-client", client=True)
    yield Leaf(host=name, name="front-proxy-client", authority="front-proxy", subject=front)
    for program in ("controller-manager", "scheduler"):
        yield _client(name, program, f"system:kube-{program}")
        serving = Subject(
            common_name=f"kube-{program}",
            dns=("localhost", name),
            addresses=(_LOOPBACK,),
            server=True,
        )
        yield Leaf(host=name, name=f"{program}-server", authority="kubernetes", subject=serving)


def _endpoint(cluster: Cluster) -> tuple[tuple[str, ...], tuple[IPv4Address, ...]]:
    """What the operator's own balancer is called, as a name or as an address."""
    called = urlsplit(cluster.api_endpoint).hostname
    if not called:
        return (), ()
    try:
        return (), (IPv4Address(called),)
    except ValueError:
        return (called,), ()


def _etcd_leaves(host: Host) -> Iterator[Leaf]:
    # Both uses in both: etcd's server dials itself for its gateway, and peers are each other's
    # clients.
    member = Subject(
        common_name=host.name,
        dns=(host.name, "localhost"),
        addresses=(host.address, _LOOPBACK),
        server=True,
        client=True,
    )
    health = Subject(common_name="kube-etcd-healthcheck-client", client=True)
    yield Leaf(host=host.name, name="etcd/server", authority="etcd", subject=member)
    yield Leaf(host=host.name, name="etcd/peer", authority="etcd", subject=member)
    yield Leaf(host=host.name, name="etcd/healthcheck-client", authority="etcd", subject=health)


def _client(host: str, name: str, user: str, group: str = "") -> Leaf:
    subject = Subject(common_name=user, organization=group, client=True)
    return Leaf(host=host, name=name, authority="kubernetes", subject=subject)


ADMINISTRATOR = _client(OPERATOR, "admin", "kubernetes-admin", "system:masters")
