"""Whether a bundle suits the cluster and its hosts, and what a run gets out of it."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from installer.artifacts.choice import Choice, record
from installer.bundle import layout, supply
from installer.bundle.contents import FORMAT, Manifest, Member, encode
from installer.bundle.signature import Trust
from installer.bundle.unpacking import contents, open_bundle
from installer.cluster import Cluster, Host, Network
from installer.errors import ArtifactError
from installer.hosts.facts import Facts
from romana.version import VERSION

ANYONE = Trust(anyone=True)
PLAIN = b"\x7fELF kubelet" * 1000
PACKED = gzip.compress(PLAIN, mtime=0)


def facts(**changed: object) -> Facts:
    seen = Facts(
        hostname="n1", machine_id="1", os_id="debian", os_version="12", kernel="6.1.0",
        architecture="x86_64", init="systemd", uid=0, python="3.11", cpus=2, memory_mb=2048,
        disk_free_mb=20000, swap_mb=0, cgroup="v2", container="", clock=0.0, clock_offset_s=0.0,
        addresses=("198.18.0.12/24",), interface="eth0", mtu=1500, listening=(), modules=(),
        cni_configs=(), forward_policy="ACCEPT",
    )  # fmt: skip
    return replace(seen, **changed)  # type: ignore[arg-type]


@pytest.fixture
def cluster(make, tmp_path: Path) -> Cluster:
    """One whose bundle is open."""
    network = Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    )
    return Cluster(
        name="demo",
        platform="static",
        kubernetes="auto",
        network=network,
        hosts=(Host(name="c1", address=IPv4Address("198.18.0.11"), groups=("controller",)),),
        state=tmp_path / "state",
        bundle=open_bundle(make().path, ANYONE, lambda event: None, tmp_path / "cache"),
    )


def test_the_version_is_the_bundles(cluster):
    assert supply.choice(cluster, contents(cluster.bundle)) == Choice(
        version="v1.20.2", source="build"
    )
    assert (
        supply.choice(replace(cluster, kubernetes="v1.20.2"), contents(cluster.bundle)).version
        == "v1.20.2"
    )


def test_another_version_in_the_inventory_is_told(cluster):
    with pytest.raises(ArtifactError) as error:
        supply.choice(replace(cluster, kubernetes="v1.21.0"), contents(cluster.bundle))
    assert "wants Kubernetes v1.21.0, and the bundle has v1.20.2" in error.value.message
    assert "kubernetes: v1.20.2" in error.value.advice


def test_a_cluster_does_not_change_its_version_by_surprise(cluster):
    record(cluster, Choice(version="v1.19.9", source="download"))
    with pytest.raises(ArtifactError, match=r"demo has Kubernetes v1\.19\.9"):
        supply.choice(cluster, contents(cluster.bundle))
    assert (
        supply.choice(replace(cluster, kubernetes="v1.20.2"), contents(cluster.bundle)).version
        == "v1.20.2"
    )


INDEX = """\
Package: containerd
Version: 1.6.20~ds1-1+deb12u3

Package: etcd-server
Version: 3.4.23-4+b4
"""


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, ""),
        ({"containerd": "1.6.20"}, ""),
        ({"containerd": "1.6.20~ds1-1+deb12u3", "etcd": "3.4.23"}, ""),
        ({"containerd": "1.7.27"}, r"wants containerd 1\.7\.27, and the bundle has 1\.6\.20, 1\."),
        ({"etcd": "3.4.2"}, r"wants etcd 3\.4\.2, and the bundle has 3\.4\.23, 3\.4\.23-4\+b4"),
        ({"romana": "0.9"}, r"wants Romana 0\.9, and the bundle has"),
    ],
)
def test_versions_that_the_inventory_names_are_in_the_bundle(cluster, tmp_path, named, said):
    path = _bundle(tmp_path, hashlib.sha256(PLAIN).hexdigest(), repository=_repository(INDEX))
    directory = open_bundle(path, ANYONE, lambda event: None, tmp_path / "new")
    wanted = replace(cluster, **named)
    if said:
        with pytest.raises(ArtifactError, match=said):
            supply.require_versions(wanted, directory)
    else:
        supply.require_versions(wanted, directory)


def _repository(index: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo("Packages")
        member.size = len(index)
        tar.addfile(member, io.BytesIO(index.encode()))
    return raw.getvalue()


def test_what_is_not_accepted_is_not_unpacked(make, tmp_path):
    def refuse(manifest: Manifest) -> None:
        raise ArtifactError(f"not {manifest.kubernetes}")

    with pytest.raises(ArtifactError, match=r"not v1\.20\.2"):
        open_bundle(make().path, ANYONE, lambda event: None, tmp_path / "new", refuse)
    assert not (tmp_path / "new").exists()


def test_hosts_that_the_bundle_is_not_for_are_told_all_at_once(cluster):
    problems = supply.misfits(
        cluster.bundle,
        {
            "fits": facts(),
            "other": facts(os_id="ubuntu", os_version="24.04"),
            "arm": facts(architecture="aarch64"),
        },
    )
    assert [str(problem) for problem in problems] == [
        "other: it is ubuntu-24.04, and the bundle is for debian-12 (have one made with --os "
        "ubuntu-24.04)",
        "arm: it is arm64, and the bundle is for amd64 (have one made with --arch arm64)",
    ]


def test_a_bundle_of_another_installer_or_format_is_refused(make):
    for changed, said in (
        ({"romana": "0.9"}, f"made by romana-install 0.9, and this is {VERSION}"),
        ({"format": 9}, "is a bundle of format 9"),
    ):
        with pytest.raises(ArtifactError, match=said) as error:
            open_bundle(make(**changed).path, ANYONE, lambda event: None)
        assert "installer/ and wheels/" in error.value.advice


def _bundle(
    tmp_path: Path, plain_sha256: str, packed: bytes = PACKED, repository: bytes = b"tar"
) -> Path:
    files = {"kubernetes/kubelet.gz": packed, "packages/debian-12-amd64.tar": repository}
    members = []
    for name, content in files.items():
        (tmp_path / name.rpartition("/")[2]).write_bytes(content)
        program = name.startswith("kubernetes")
        members.append(
            Member(
                name=name,
                kind="kubernetes" if program else "package",
                item="kubelet" if program else "debian-12",
                version="v1.20.2",
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                origin="a test",
                plain_sha256=plain_sha256 if program else "",
                system="" if program else "debian-12",
            )
        )
    manifest = Manifest(
        format=FORMAT,
        romana=VERSION,
        kubernetes="v1.20.2",
        source="build",
        architecture="amd64",
        systems=("debian-12",),
        packages=True,
        members=tuple(members),
    )
    path = tmp_path / "site.tar"
    sources = {name: tmp_path / name.rpartition("/")[2] for name in files}
    assert encode(manifest)
    layout.write(path, manifest, b"", sources, lambda done, total: None)
    return path


def test_what_a_run_gets_is_what_is_in_the_bundle(tmp_path):
    digest = hashlib.sha256(PLAIN).hexdigest()
    path = _bundle(tmp_path, digest)
    directory = open_bundle(path, ANYONE, lambda event: None, tmp_path / "cache")
    had = supply.artifacts(directory)
    kubelet = had.program("kubelet")
    assert (kubelet.path.read_bytes(), kubelet.sha256) == (PLAIN, digest)
    assert gzip.decompress(kubelet.source.read_bytes()) == PLAIN
    assert had.packages["debian-12"].source.read_bytes() == b"tar"
    assert (had.kubernetes, had.images, had.upstream) == ("v1.20.2", (), {})
    assert supply.sandbox_image(directory, "debian-bookworm-amd64-0") is None


@pytest.mark.parametrize(
    ("packed", "digest"),
    [
        (PACKED, "0" * 64),
        (PACKED[:-9], hashlib.sha256(PLAIN).hexdigest()),
        (b"no gzip", hashlib.sha256(PLAIN).hexdigest()),
        (PACKED[:20] + b"\xff" * 20, hashlib.sha256(PLAIN).hexdigest()),
    ],
)
def test_a_program_that_is_not_what_its_maker_said_is_not_unpacked(tmp_path, packed, digest):
    path = _bundle(tmp_path, digest, packed)
    with pytest.raises(ArtifactError, match=r"kubelet\.gz does not hold what its maker said"):
        open_bundle(path, ANYONE, lambda event: None, tmp_path / "cache")
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [".lock"]
