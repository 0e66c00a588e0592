"""The control plane: API server, controller manager and scheduler as services of each
controller."""

from __future__ import annotations

from collections.abc import Iterator

from installer import releases
from installer.hosts.init import of
from installer.resources import File, Manifest, Resource, Service
from installer.roles import pki
from installer.roles.asking import curl
from installer.roles.pki import CA, ENCRYPTION, KUBERNETES, PKI
from installer.roles.programs import program
from installer.roles.rendering import render
from installer.roles.role import Target

_NO_NEW_PRIVILEGES = (("NoNewPrivileges", "yes"),)
_STOP_LIMIT = ("TimeoutStopSec", "5")
"""It stops listening at once, and then waits up to a minute for watches that never end by
themselves: a minute without an API server, after which everyone's back-off is at its longest."""
_ELECTION = (
    "--leader-elect=true",
    "--leader-elect-lease-duration=10s",
    "--leader-elect-renew-deadline=7s",
    "--leader-elect-retry-period=1s",
)
"""The next one takes over 10 s after the leader's last word (the default is 15). The leader itself
gives up after 7 s, so that an election of etcd's, or an API server that died, costs it nothing."""


def control_plane(target: Target) -> Iterator[Resource]:
    """Binaries, encryption at rest, and the three services. Each is ready when its own health
    endpoint says so."""
    yield program(target, "kubectl")
    yield from _apiserver(target)
    yield from _controller_manager(target)
    yield from _scheduler(target)
    if target.leads:
        yield Manifest("access", render("control_plane/access.yaml"))


def _apiserver(target: Target) -> Iterator[Resource]:
    binary = program(target, "kube-apiserver")
    encryption = File(
        ENCRYPTION,
        render("control_plane/encryption.yaml", key=target.credentials.encryption_key),
        mode=0o600,
        secret=True,
    )
    yield binary
    yield encryption
    yield Service(
        "kube-apiserver",
        init=of(target.facts),
        description="Kubernetes API server",
        command=(binary.path, *_apiserver_flags(target)),
        type="notify",
        after=("network-online.target", "etcd.service"),
        limits=(("NOFILE", "1048576"),),
        directives=(*_NO_NEW_PRIVILEGES, _STOP_LIMIT),
        restart_on=(
            binary,
            encryption,
            pki.authority(target, "kubernetes"),
            pki.authority(target, "etcd"),
            pki.authority(target, "front-proxy"),
            *pki.service_account(target),
            *pki.pair(target, "apiserver"),
            *pki.pair(target, "apiserver-kubelet-client"),
            *pki.pair(target, "apiserver-etcd-client"),
            *pki.pair(target, "front-proxy-client"),
        ),
        # Anonymous questions are refused, also after health.
        ready=curl(
            f"https://127.0.0.1:{target.cluster.api_port}/readyz",
            authority=CA,
            certificate=f"{PKI}/apiserver-kubelet-client.crt",
            key=f"{PKI}/apiserver-kubelet-client.key",
        ),
        ready_timeout_s=120,
    )


def _apiserver_flags(target: Target) -> tuple[str, ...]:
    cluster = target.cluster
    return (
        f"--advertise-address={target.host.address}",
        f"--secure-port={cluster.api_port}",
        f"--service-cluster-ip-range={cluster.network.services}",
        "--allow-privileged=true",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--profiling=false",
        "--tls-min-version=VersionTLS12",
        f"--client-ca-file={CA}",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        "--etcd-servers=https://127.0.0.1:2379",
        f"--etcd-cafile={PKI}/etcd/ca.crt",
        f"--etcd-certfile={PKI}/apiserver-etcd-client.crt",
        f"--etcd-keyfile={PKI}/apiserver-etcd-client.key",
        f"--encryption-provider-config={ENCRYPTION}",
        f"--kubelet-certificate-authority={CA}",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        f"--service-account-issuer=https://kubernetes.default.svc.{cluster.domain}",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={PKI}/front-proxy-client.key",
        f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        *releases.flags("kube-apiserver", target.artifacts.kubernetes),
    )


def _controller_manager(target: Target) -> Iterator[Resource]:
    binary = program(target, "kube-controller-manager")
    cluster, name = target.cluster, "controller-manager"
    yield binary
    yield Service(
        "kube-controller-manager",
        init=of(target.facts),
        description="Kubernetes controller manager",
        command=(
            binary.path,
            *_delegated_flags(target, name),
            f"--cluster-name={cluster.name}",
            f"--cluster-cidr={cluster.network.pods}",
            f"--service-cluster-ip-range={cluster.network.services}",
            # Blocks of pod addresses are the agents' own to claim.
            "--allocate-node-cidrs=false",
            f"--cluster-signing-cert-file={PKI}/ca-signing.crt",
            f"--cluster-signing-key-file={PKI}/ca.key",
            f"--root-ca-file={CA}",
            f"--service-account-private-key-file={PKI}/sa.key",
            "--use-service-account-credentials=true",
            *releases.flags("kube-controller-manager", target.artifacts.kubernetes),
        ),
        after=("network-online.target", "kube-apiserver.service"),
        directives=_NO_NEW_PRIVILEGES,
        restart_on=(
            binary,
            pki.authority(target, "kubernetes"),
            pki.signing(target),
            pki.authority_key(target, "kubernetes"),
            *pki.service_account(target),
            *pki.pair(target, f"{name}-server"),
            pki.kubeconfig_file(target, name),
        ),
        ready=curl("https://127.0.0.1:10257/healthz", authority=CA),
    )


def _scheduler(target: Target) -> Iterator[Resource]:
    binary, name = program(target, "kube-scheduler"), "scheduler"
    yield binary
    yield Service(
        "kube-scheduler",
        init=of(target.facts),
        description="Kubernetes scheduler",
        command=(
            binary.path,
            *_delegated_flags(target, name),
            *releases.flags("kube-scheduler", target.artifacts.kubernetes),
        ),
        after=("network-online.target", "kube-apiserver.service"),
        directives=_NO_NEW_PRIVILEGES,
        restart_on=(
            binary,
            pki.authority(target, "kubernetes"),
            *pki.pair(target, f"{name}-server"),
            pki.kubeconfig_file(target, name),
        ),
        ready=curl("https://127.0.0.1:10259/healthz", authority=CA),
    )


def _delegated_flags(target: Target, name: str) -> tuple[str, ...]:
    """What the two have in common: one identity for all they ask, and a port on loopback that asks
    the API server who
    may."""
    conf = f"{KUBERNETES}/{name}.conf"
    # With one controller an election would only delay the start after a restart.
    elect = _ELECTION if target.cluster.balanced else ("--leader-elect=false",)
    return (
        f"--kubeconfig={conf}",
        f"--authentication-kubeconfig={conf}",
        f"--authorization-kubeconfig={conf}",
        "--bind-address=127.0.0.1",
        *elect,
        "--profiling=false",
        f"--tls-cert-file={PKI}/{name}-server.crt",
        f"--tls-private-key-file={PKI}/{name}-server.key",
        "--tls-min-version=VersionTLS12",
    )
