"""An unpacked bundle as what a run lays down, and whether it suits the cluster."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from platform import machine

from installer.artifacts.catalogue import Artifacts, Resolved
from installer.artifacts.choice import AUTO, Choice, chosen
from installer.bundle.contents import Manifest, Member
from installer.bundle.unpacking import contents, plain
from installer.cluster import Cluster
from installer.errors import ArtifactError, Problem
from installer.hosts.facts import Facts

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def this_machine() -> str:
    """The architecture of this machine, as Kubernetes spells it."""
    return ARCHITECTURES.get(machine(), machine())


def artifacts(directory: Path) -> Artifacts:
    """Everything that a run lays down, out of an unpacked bundle and from nowhere else."""
    manifest = contents(directory)

    def had(member: Member) -> Resolved:
        file = directory / member.name
        packed = bool(member.plain_sha256)
        return Resolved(
            name=member.item,
            version=member.version,
            path=plain(file) if packed else file,
            sha256=member.plain_sha256 or member.sha256,
            compressed=file if packed else None,
        )

    return Artifacts(
        kubernetes=manifest.kubernetes,
        programs={member.item: had(member) for member in manifest.of("kubernetes")},
        releases={member.item: had(member) for member in manifest.of("romana")},
        images=tuple(had(member) for member in manifest.of("image")),
        upstream={member.item: had(member) for member in manifest.of("upstream")},
        packages={member.system: had(member) for member in manifest.of("package")},
    )


def choice(cluster: Cluster, manifest: Manifest) -> Choice:
    """The Kubernetes that a bundle has, where that is the one the cluster is to have.

    Raises:
        ArtifactError: the inventory names another one, or the cluster has another one already.
    """
    earlier = chosen(cluster)
    change = f"kubernetes: {manifest.kubernetes}"
    if cluster.kubernetes not in (AUTO, manifest.kubernetes):
        raise ArtifactError(
            f"the inventory wants Kubernetes {cluster.kubernetes}, and the bundle has "
            f"{manifest.kubernetes}",
            f"say {change} in the inventory, or have a bundle made with it as it is",
        )
    if cluster.kubernetes == AUTO and earlier and earlier.version != manifest.kubernetes:
        raise ArtifactError(
            f"{cluster.name} has Kubernetes {earlier.version}, and the bundle has "
            f"{manifest.kubernetes}",
            f"if that change is meant, say {change} in the inventory",
        )
    return Choice(version=manifest.kubernetes, source=manifest.source)


def require_versions(cluster: Cluster, directory: Path) -> None:
    """Stops where the inventory names a version of Romana, etcd or containerd that an unpacked
    bundle does not have.

    Raises:
        ArtifactError: it names another; says which the bundle has.
    """
    manifest = contents(directory)
    releases = {member.version for member in manifest.of("romana")}
    short = {name.partition("-py")[0] for name in releases}
    _require("Romana", cluster.romana, releases | short)
    for name, wanted in (("etcd", cluster.etcd), ("containerd", cluster.containerd)):
        if wanted == "auto":
            continue
        brought = {member.version for member in manifest.of("upstream") if member.item == name}
        package = {"etcd": "etcd-server"}.get(name, name)
        packaged = {
            version
            for member in manifest.of("package")
            for version in _packaged(directory / member.name, package)
        }
        upstream = {re.split("[-+~]", version)[0] for version in packaged}
        if brought or packaged:
            _require(name, wanted, brought | packaged | upstream)


def _require(name: str, wanted: str, there: Collection[str]) -> None:
    if wanted != "auto" and wanted not in there:
        raise ArtifactError(
            f"the inventory wants {name} {wanted}, and the bundle has {', '.join(sorted(there))}",
            "change the inventory, or have a bundle made with it as it is",
        )


def _packaged(tar: Path, name: str) -> Iterator[str]:
    """The versions of a package in a repository's tar, as its index has them."""
    with tarfile.open(tar) as archive:
        index = archive.extractfile("Packages")
        text = index.read().decode() if index is not None else ""
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (.*)$", stanza, re.MULTILINE))
        if fields.get("Package") == name:
            yield fields["Version"]


def misfits(directory: Path, facts: Mapping[str, Facts]) -> tuple[Problem, ...]:
    """Hosts that the bundle is not for.

    Args:
        directory: of the unpacked bundle.
        facts: by host name.
    """
    manifest = contents(directory)
    found = []
    for name, seen in facts.items():
        system = f"{seen.os_id}-{seen.os_version}"
        architecture = ARCHITECTURES.get(seen.architecture, seen.architecture)
        if system not in manifest.systems:
            what = f"it is {system}, and the bundle is for {', '.join(manifest.systems)}"
            found.append(Problem(where=name, what=what, advice=f"have one made with --os {system}"))
        if architecture != manifest.architecture:
            what = f"it is {architecture}, and the bundle is for {manifest.architecture}"
            found.append(
                Problem(where=name, what=what, advice=f"have one made with --arch {architecture}")
            )
    return tuple(found)


def sandbox_image(directory: Path, name: str) -> Resolved | None:
    """The root file system of the sandbox's hosts, as a compressed tar; None where the bundle has
    none of that name.

    Args:
        directory: of the unpacked bundle.
        name: of the image, which is of its release and content.
    """
    for member in contents(directory).of("sandbox"):
        if member.item == name:
            file = directory / member.name
            return Resolved(name=name, version=member.version, path=file, sha256=member.sha256)
    return None


def describe(manifest: Manifest) -> str:
    """A bundle in a few words."""
    systems = ", ".join(manifest.systems)
    return f"Kubernetes {manifest.kubernetes} for {systems} on {manifest.architecture}"
