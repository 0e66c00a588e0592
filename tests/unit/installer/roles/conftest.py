"""A cluster of one controller and two nodes, as values: facts, credentials and artifacts
included."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from installer import images, pki
from installer.artifacts.catalogue import KUBERNETES_PROGRAMS, Artifacts, Resolved
from installer.artifacts.upstream import UPSTREAM
from installer.cluster import Cluster, Host, Network
from installer.hosts.facts import Facts
from installer.roles.role import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    hosts = (
        Host(name="c1", address=IPv4Address("198.18.0.11"), groups=("controller",)),
        Host(name="n1", address=IPv4Address("198.18.0.12"), groups=("nodes",), zone="east"),
        Host(name="n2", address=IPv4Address("198.18.0.13"), groups=("nodes",), zone="west"),
    )
    network = Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    )
    state = tmp_path_factory.mktemp("state")
    return Cluster(
        name="demo",
        platform="static",
        kubernetes="v1.20.2",
        network=network,
        hosts=hosts,
        state=state,
    )


@pytest.fixture(scope="session")
def facts(cluster: Cluster) -> dict[str, Facts]:
    return {
        host.name: Facts(
            hostname=host.name,
            machine_id=f"id-{host.name}",
            os_id="debian",
            os_version="12",
            kernel="6.1.0-18-amd64",
            architecture="x86_64",
            init="systemd",
            uid=0,
            python="3.11",
            cpus=2,
            memory_mb=2048,
            disk_free_mb=20000,
            swap_mb=0,
            cgroup="v2",
            container="",
            clock=0.0,
            clock_offset_s=0.0,
            addresses=(f"{host.address}/24",),
            interface="eth0",
            mtu=1500,
            listening=(),
            modules=("overlay", "nf_tables", "nf_conntrack", "veth"),
            cni_configs=(),
            forward_policy="ACCEPT",
        )
        for host in cluster.hosts
    }


Targets = Callable[..., Target]


@pytest.fixture(scope="session")
def target(cluster: Cluster, facts: dict[str, Facts]) -> Targets:
    """Makes the target of a host; keyword arguments replace facts, `version` the Kubernetes
    version."""
    credentials = pki.ensure(cluster, NOW)

    def make(name: str, version: str = "v1.20.2", **changed: object) -> Target:
        host = next(each for each in cluster.hosts if each.name == name)
        return Target(
            host=host,
            facts=replace(facts[name], **changed),
            cluster=cluster,
            others=facts,
            credentials=credentials,
            artifacts=_artifacts(version),
        )

    return make


def _artifacts(version: str) -> Artifacts:
    def resolved(name: str) -> Resolved:
        return Resolved(name=name, version=version, path=Path(f"/cache/{name}"), sha256="0" * 64)

    release = replace(resolved("romana"), version="1.0-py311-abc", path=Path("/cache/r.tar.gz"))
    return Artifacts(
        kubernetes=version,
        programs={name: resolved(name) for name in KUBERNETES_PROGRAMS},
        releases={"3.11": release},
        images=(resolved(images.PAUSE), resolved(images.BUSYBOX)),
        upstream={name: replace(resolved(name), version="1.0") for name in UPSTREAM},
    )
