"""etcd on the controllers: TLS for clients and between members, both sides with certificates."""

from __future__ import annotations

from collections.abc import Iterator

from installer.hosts.init import of
from installer.resources import Directory, Resource, Service
from installer.roles.asking import curl
from installer.roles.brought import programs
from installer.roles.pki import PKI, authority, etcd_files
from installer.roles.programs import BIN
from installer.roles.role import Target

DATA = "/var/lib/etcd"
_CA = f"{PKI}/etcd/ca.crt"


def etcd(target: Target) -> Iterator[Resource]:
    """The data directory and the service. It is ready when the member answers that it is healthy:
    then there is a
    leader."""
    program = tuple(programs(target, "etcd"))
    yield from program
    yield Directory(DATA, mode=0o700, owner="etcd:etcd")
    health = curl(
        "https://127.0.0.1:2379/health",
        authority=_CA,
        certificate=f"{PKI}/etcd/healthcheck-client.crt",
        key=f"{PKI}/etcd/healthcheck-client.key",
    )
    yield Service(
        "etcd",
        init=of(target.facts),
        description="etcd, the cluster's store",
        command=(f"{BIN}/etcd" if program else "/usr/bin/etcd", *_flags(target)),
        user="etcd",
        type="notify",
        limits=(("NOFILE", "65536"),),
        directives=(("NoNewPrivileges", "yes"), ("TimeoutStartSec", "90")),
        restart_on=(*program, authority(target, "etcd"), *etcd_files(target)),
        ready=f"""{health} | grep -q '"health":"true"'""",
        ready_timeout_s=90,
    )


def _flags(target: Target) -> tuple[str, ...]:
    address = target.host.address
    members = ",".join(
        f"{member.name}=https://{member.address}:2380" for member in target.cluster.controllers
    )
    return (
        f"--name={target.host.name}",
        f"--data-dir={DATA}",
        f"--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379",
        f"--advertise-client-urls=https://{address}:2379",
        f"--listen-peer-urls=https://{address}:2380",
        f"--initial-advertise-peer-urls=https://{address}:2380",
        f"--initial-cluster={members}",
        f"--initial-cluster-token={target.cluster.name}",
        "--initial-cluster-state=new",
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
