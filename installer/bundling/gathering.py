"""Everything that goes into a bundle, as members with their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from installer import artifacts
from installer.artifacts.catalogue import Artifacts, Resolved, cache_directory
from installer.artifacts.checksums import sha256_of
from installer.artifacts.choice import Choice, chosen
from installer.artifacts.upstream import PYTHON, Name
from installer.bundle.contents import FORMAT, Kind, Manifest, Member
from installer.bundling.packages import repository
from installer.bundling.systems import name_of
from installer.bundling.wheels import PYTHON as OPERATORS_PYTHON
from installer.bundling.wheels import tree, wheels
from installer.cluster import Cluster
from installer.distributions import Distribution
from installer.events import Emit
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import packed_image
from romana.version import VERSION

_BUILT = "built here from Debian's source package, whose signature apt checked"
_DOWNLOADED = "{site}: the SHA-256 published there over TLS, or recorded earlier; no signature"
_LOCKED = "Python package index: the SHA-256 in requirements/{file}"
_SIGNED = "the distribution's archive: checked by apt against its signed indices"
_MADE = "made here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a bundle is to be.

    Args:
        cluster: as the inventory has it; its `state` is scratch, its version of Kubernetes counts.
        systems: the hosts' releases.
        architecture: the hosts', as Kubernetes spells it.
        packages: with the distribution packages.
        image: with the root file system of the sandbox's hosts.
    """

    cluster: Cluster
    systems: tuple[Distribution, ...]
    architecture: str
    packages: bool = True
    image: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A bundle before it is written: what it says, and the files by member name."""

    manifest: Manifest
    sources: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A member to be, and its file."""

    folder: str
    kind: Kind
    had: Resolved
    origin: str
    system: str = ""
    name: str = ""

    def member(self) -> Member:
        file, packed = self.had.source, self.had.compressed is not None
        return Member(
            name=f"{self.folder}/{self.name or file.name}",
            kind=self.kind,
            item=self.had.name,
            version=self.had.version,
            size=file.stat().st_size,
            sha256=sha256_of(file) if packed else self.had.sha256,
            origin=self.origin,
            plain_sha256=self.had.sha256 if packed else "",
            system=self.system,
        )


def gather(order: Order, emit: Emit, cache: Path | None = None) -> Gathered:
    """Has everything on this machine: from its caches, downloaded or made.

    Args:
        order: what is wanted.
        emit: receives notices and progress.
        cache: where artifacts are kept; the user's cache where it is left out.

    Raises:
        InstallerError: something cannot be had, or is not what its checksum says.
    """
    cache = cache or cache_directory()
    had = artifacts.prepare(
        order.cluster,
        pythons=[row.python if row.runs_agent else PYTHON for row in order.systems],
        upstream=_brought(order.systems),
        emit=emit,
        architecture=order.architecture,
        cache=cache,
    )
    choice = chosen(order.cluster)
    assert choice is not None  # prepare has recorded it
    pieces = [
        *_artifacts(order.cluster, had, choice),
        *_packages(order, cache, emit),
        *_installer(cache, emit),
        *_image(order, emit),
    ]
    members = {piece.member(): piece.had.source for piece in pieces}
    manifest = Manifest(
        format=FORMAT,
        romana=VERSION,
        kubernetes=had.kubernetes,
        source=choice.source,
        architecture=order.architecture,
        systems=tuple(name_of(row) for row in order.systems),
        packages=order.packages,
        members=tuple(members),
    )
    return Gathered(
        manifest=manifest, sources={member.name: file for member, file in members.items()}
    )


def _brought(systems: Sequence[Distribution]) -> frozenset[Name]:
    found: set[Name] = set()
    for row in systems:
        assert row.packages is not None  # others are not offered
        found.update(row.packages.brought, () if row.runs_agent else ("python",))
    return frozenset(found)


def _artifacts(cluster: Cluster, had: Artifacts, choice: Choice) -> Iterator[_Piece]:
    site = _DOWNLOADED.format(site=cluster.download_url)
    own = _BUILT if choice.source == "build" else site
    for program in had.programs.values():
        yield _Piece(folder="kubernetes", kind="kubernetes", had=program, origin=own)
    site = _DOWNLOADED.format(site=cluster.upstream_url)
    for name, program in had.upstream.items():
        yield _Piece(folder=f"upstream/{name}", kind="upstream", had=program, origin=site)
    locked = f"{_MADE}, with dependencies of the {_LOCKED.format(file='agent.txt')}"
    for python, release in had.releases.items():
        release = replace(release, name=python)
        yield _Piece(folder="romana", kind="romana", had=release, origin=locked)
    for image in had.images:
        yield _Piece(folder="images", kind="image", had=image, origin=f"{_MADE}, around busybox")


def _packages(order: Order, cache: Path, emit: Emit) -> Iterator[_Piece]:
    for row in order.systems if order.packages else ():
        tar, count = repository(row, order.architecture, order.cluster, cache.parent, emit)
        system = name_of(row)
        yield _Piece(
            folder="packages",
            kind="package",
            had=Resolved(name=system, version=count, path=tar, sha256=sha256_of(tar)),
            origin=_SIGNED,
            system=system,
            name=f"{system}-{order.architecture}.tar",
        )


def _installer(cache: Path, emit: Emit) -> Iterator[_Piece]:
    had = tree(cache / "romana")
    yield _Piece(
        folder="installer",
        kind="installer",
        had=Resolved(name="romana-install", version=VERSION, path=had, sha256=sha256_of(had)),
        origin=_MADE,
    )
    for wheel in wheels(cache.parent, emit):
        name, version = wheel.name.split("-")[:2]
        yield _Piece(
            folder="wheels",
            kind="wheel",
            had=Resolved(
                name=name,
                version=f"{version} for Python {OPERATORS_PYTHON}",
                path=wheel,
                sha256=sha256_of(wheel),
            ),
            origin=_LOCKED.format(file="installer.txt"),
        )


def _image(order: Order, emit: Emit) -> Iterator[_Piece]:
    if order.image:
        distribution = read_distribution()
        image = packed_image(distribution, emit)
        name = image.name.removesuffix(".tar.gz")
        yield _Piece(
            folder="sandbox",
            kind="sandbox",
            had=Resolved(
                name=name, version=distribution.label, path=image, sha256=sha256_of(image)
            ),
            origin=f"{_MADE} with debootstrap, which checks the archive's signature",
        )
