"""Certificates, keys and kubeconfigs, each on the hosts that use it and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

from installer.pki import AUTHORITIES, OPERATOR, kubeconfig
from installer.pki.identities import AuthorityName
from installer.resources import Certificate, Directory, File, Resource
from installer.roles.role import Target

KUBERNETES = "/etc/kubernetes"
PKI = f"{KUBERNETES}/pki"
KUBELET_PKI = "/var/lib/kubelet/pki"
CA = f"{PKI}/ca.crt"
KUBELET_CLIENT = f"{KUBELET_PKI}/kubelet-client-current.pem"
ENCRYPTION = f"{KUBERNETES}/encryption.yaml"
ADMIN_KUBECONFIG = f"{KUBERNETES}/admin.conf"
_ROOT = "root:root"
_ETCD = "etcd:etcd"
_CONTROLLER_PAIRS = (
    "apiserver",
    "apiserver-kubelet-client",
    "apiserver-etcd-client",
    "front-proxy-client",
    "controller-manager-server",
    "scheduler-server",
)


def pki(target: Target) -> Iterator[Resource]:
    """The files. The directories can be entered by all, as kubeadm's: etcd does not run as root."""
    yield Directory(KUBERNETES)
    yield Directory(PKI)
    yield Directory("/var/lib/kubelet", mode=0o750)
    yield Directory(KUBELET_PKI, mode=0o700)
    yield authority(target, "kubernetes")
    yield from kubelet_files(target)
    yield kubeconfig_file(target, "kube-proxy")
    if target.host.is_controller:
        yield from _controller(target)


def _controller(target: Target) -> Iterator[Resource]:
    yield Directory(f"{PKI}/etcd")
    for each in AUTHORITIES:
        yield authority(target, each.name)
        yield authority_key(target, each.name)
    yield signing(target)
    yield from service_account(target)
    for name in _CONTROLLER_PAIRS:
        yield from pair(target, name)
    yield from etcd_files(target)
    for name in ("admin", "controller-manager", "scheduler"):
        yield kubeconfig_file(target, name)


def authority(target: Target, name: AuthorityName) -> File:
    """An authority's certificate, and while it is rotated the one that comes or goes as well."""
    return File(_authority_path(name) + ".crt", target.credentials.trusted[name])


def signing(target: Target) -> File:
    """The certificate of the main authority alone: who signs requests wants to be told of one."""
    issuing = target.credentials.authorities["kubernetes"]
    return File(f"{PKI}/ca-signing.crt", issuing.certificate)


def authority_key(target: Target, name: AuthorityName) -> File:
    """An authority's key; on controllers only, as kubeadm does: so losing the operator's state does
    not lose the
    cluster."""
    key = target.credentials.authorities[name].key
    return File(_authority_path(name) + ".key", key, mode=0o600, secret=True)


def service_account(target: Target) -> tuple[File, File]:
    """The key that signs service account tokens, and its public half."""
    held = target.credentials.service_account
    return (
        File(f"{PKI}/sa.pub", held.certificate),
        File(f"{PKI}/sa.key", held.key, mode=0o600, secret=True),
    )


def pair(target: Target, name: str, owner: str = _ROOT) -> tuple[File, File]:
    """A certificate of this host and its key, by its name in `installer.pki.identities`."""
    held = target.credentials.leaf(target.host.name, name)
    return (
        certificate(f"{PKI}/{name}.crt", held.certificate, owner),
        File(f"{PKI}/{name}.key", held.key, mode=0o600, owner=owner, secret=True),
    )


def etcd_files(target: Target) -> tuple[File, ...]:
    """What etcd itself reads, and the client certificate that asks after its health."""
    return (
        *pair(target, "etcd/server", _ETCD),
        *pair(target, "etcd/peer", _ETCD),
        *pair(target, "etcd/healthcheck-client"),
    )


def kubelet_files(target: Target) -> tuple[File, ...]:
    """The kubelet's serving certificate, its identity, and the kubeconfig that points at it."""
    serving = target.credentials.leaf(target.host.name, "kubelet")
    client = target.credentials.leaf(target.host.name, "kubelet-client")
    return (
        certificate(f"{KUBELET_PKI}/kubelet.crt", serving.certificate),
        File(f"{KUBELET_PKI}/kubelet.key", serving.key, mode=0o600, secret=True),
        Certificate(
            KUBELET_CLIENT,
            client.certificate + client.key,
            certificate=client.certificate,
            mode=0o600,
            secret=True,
        ),
        kubeconfig_file(target, "kubelet"),
    )


def kubeconfig_file(target: Target, name: str) -> File:
    """/etc/kubernetes/NAME.conf for a program of this host, or the administrator's on a
    controller."""
    leaves = {"kubelet": "kubelet-client", "kube-proxy": "proxy"}
    host = OPERATOR if name == "admin" else target.host.name
    identity = target.credentials.leaf(host, leaves.get(name, name))
    text = kubeconfig(
        cluster=target.cluster.name,
        server=server(target),
        authority=target.credentials.trusted["kubernetes"],
        user=name,
        identity=identity,
    )
    return Certificate(
        f"{KUBERNETES}/{name}.conf",
        text,
        certificate=identity.certificate,
        form="kubeconfig",
        mode=0o600,
        secret=True,
    )


def certificate(path: str, content: bytes, owner: str = _ROOT) -> Certificate:
    """A file that is a certificate and nothing else."""
    return Certificate(path, content, certificate=content, owner=owner)


def server(target: Target) -> str:
    """Where this host reaches the API: by its balancer where there are several servers; otherwise
    at the only one."""
    if target.cluster.balanced:
        return f"https://127.0.0.1:{target.cluster.balancer_port}"
    own = target.host.is_controller
    address = target.host.address if own else target.cluster.api_address
    return f"https://{address}:{target.cluster.api_port}"


def _authority_path(name: AuthorityName) -> str:
    return f"{PKI}/" + {each.name: each.path for each in AUTHORITIES}[name]
