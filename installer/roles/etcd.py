"""etcd on the controllers: TLS for clients and between members, both sides with certificates."""

from __future__ import annotations

from collections.abc import Iterator

from installer.etcd.asking import DATA, TOLD, client, peer
from installer.hosts.init import of
from installer.resources import Directory, Resource, Service
from installer.roles.asking import curl
from installer.roles.base import pinned_packages
from installer.roles.brought import programs
from installer.roles.etcd_members import beginning, voting
from installer.roles.pki import PKI, authority, etcd_files
from installer.roles.programs import BIN
from installer.roles.role import Target

_CA = f"{PKI}/etcd/ca.crt"
_LAUNCH = f'set -a; [ ! -f {TOLD} ] || . {TOLD}; set +a; exec "$@"'
"""How a member begins is of its first start only. In the definition it would change, and with it
restart every member, whenever another comes or goes."""


def etcd(target: Target) -> Iterator[Resource]:
    """The data directory, how the member begins, the service, and its vote. It is ready when the
    member answers that it is healthy: then there is a leader."""
    program = tuple(programs(target, "etcd"))
    package = tuple(pinned_packages(target, "etcd"))
    yield from program
    yield from package
    yield Directory(DATA, mode=0o700, owner="etcd:etcd")
    yield from beginning(target)
    health = curl(
        "https://127.0.0.1:2379/health",
        authority=_CA,
        certificate=f"{PKI}/etcd/healthcheck-client.crt",
        key=f"{PKI}/etcd/healthcheck-client.key",
    )
    binary = f"{BIN}/etcd" if program else "/usr/bin/etcd"
    yield Service(
        "etcd",
        init=of(target.facts),
        description="etcd, the cluster's store",
        command=("/bin/sh", "-c", _LAUNCH, "etcd", binary, *_flags(target)),
        user="etcd",
        type="notify",
        limits=(("NOFILE", "65536"),),
        directives=(("NoNewPrivileges", "yes"), ("TimeoutStartSec", "90")),
        restart_on=(*program, *package, authority(target, "etcd"), *etcd_files(target)),
        ready=f"""{health} | grep -q '"health":"true"'""",
        ready_timeout_s=90,
    )
    yield from voting(target)


def _flags(target: Target) -> tuple[str, ...]:
    address = target.host.address
    return (
        f"--name={target.host.name}",
        f"--data-dir={DATA}",
        f"--listen-client-urls={client('127.0.0.1')},{client(address)}",
        f"--advertise-client-urls={client(address)}",
        f"--listen-peer-urls={peer(address)}",
        f"--initial-advertise-peer-urls={peer(address)}",
        f"--initial-cluster-token={target.cluster.name}",
        f"--trusted-ca-file={_CA}",
        "--client-cert-auth",
        f"--cert-file={PKI}/etcd/server.crt",
        f"--key-file={PKI}/etcd/server.key",
        f"--peer-trusted-ca-file={_CA}",
        "--peer-client-cert-auth",
        f"--peer-cert-file={PKI}/etcd/peer.crt",
        f"--peer-key-file={PKI}/etcd/peer.key",
        "--logger=zap",
    )
