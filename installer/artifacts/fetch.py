"""Kubernetes' binaries on this machine: from the cache, else by download, else built."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from installer.artifacts.catalogue import Artifact, Resolved, kubernetes_artifacts
from installer.artifacts.checksums import Lock, read_sums, require, sha256_of, write_sums
from installer.artifacts.choice import Choice, Source
from installer.artifacts.compress import compressed_copy
from installer.artifacts.debian_build import BUILDABLE, SCRIPT, build
from installer.artifacts.download import Advance, NotThere, Site, Unanswered, download
from installer.errors import ArtifactError
from installer.events import Emit, Notice, Progress

_SUMS = "SHA256SUMS"
_QUIET_S = 2.0
"""What takes longer than this says how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depot:
    """Where binaries are kept and come from. `cache` is the artifacts' directory, `site` where
    downloads come from, `lock`
    the cluster's record of checksums."""

    cache: Path
    site: Site
    lock: Lock
    emit: Emit

    def kubernetes(
        self, choice: Choice, architecture: str
    ) -> tuple[Choice, Mapping[str, Resolved]]:
        """All binaries of a version, checked, and where they came from in the end.

        Raises:
            ArtifactError: no source has them, or one is not what its checksum says.
        """
        wanted = kubernetes_artifacts(choice.version, architecture)
        with alone(self.cache / "kubernetes" / choice.version):
            source = self._fill(choice, architecture, wanted)
            choice = replace(choice, source=source)
            folder = self._folder(choice, architecture)
            sums = read_sums(folder / _SUMS)
            for artifact in wanted:
                self._check(source, folder / artifact.name, artifact, sums[artifact.name])
            packed = self._pack([folder / artifact.name for artifact in wanted])
        return choice, {
            artifact.name: Resolved(
                name=artifact.name,
                version=choice.version,
                path=folder / artifact.name,
                sha256=sums[artifact.name],
                compressed=packed[folder / artifact.name],
            )
            for artifact in wanted
        }

    def _fill(self, choice: Choice, architecture: str, wanted: tuple[Artifact, ...]) -> Source:
        """See to it that the cache holds all; returns the source that it is from."""
        other: Source = "download" if choice.source == "build" else "build"
        for source in (choice.source, other):
            if _complete(self._folder(replace(choice, source=source), architecture), wanted):
                return source
        if choice.source == "build":
            return self._build(choice, architecture)
        try:
            self._download(choice, architecture, wanted)
        except Unanswered as error:
            return self._build_instead(choice, architecture, str(error))
        except NotThere as error:
            raise ArtifactError(
                str(error), f"Kubernetes {choice.version} may not exist; check the inventory"
            ) from None
        return "download"

    def _build_instead(self, choice: Choice, architecture: str, why: str) -> Source:
        if choice.version != BUILDABLE:
            raise ArtifactError(
                f"Kubernetes {choice.version} cannot be had: {why}",
                f"make download_url reachable, or use kubernetes: {BUILDABLE}, which can be built",
            )
        text = f"{why}: Kubernetes {choice.version} is built from Debian's source package instead"
        self.emit(Notice(text=text, level="warning"))
        return self._build(choice, architecture)

    def _build(self, choice: Choice, architecture: str) -> Source:
        out = self._folder(replace(choice, source="build"), architecture)
        work = self.cache.parent / "build" / f"kubernetes-{choice.version}"
        build(choice.version, out, work, self.emit)
        return "build"

    def _download(self, choice: Choice, architecture: str, wanted: tuple[Artifact, ...]) -> None:
        folder = self._folder(replace(choice, source="download"), architecture)
        sums: dict[str, str] = {}
        for artifact in wanted:
            url = self.site.file(choice.version, architecture, artifact.name)
            digest = artifact.sha256 or self.lock.get(artifact.id)
            digest = digest or self.site.published_sha256(url)
            if not (folder / artifact.name).exists():
                label = f"download {artifact.name} {choice.version}"
                download(url, folder / artifact.name, digest, self.advance(label))
            sums[artifact.name] = digest
        # Last of all: a folder without it is not complete.
        write_sums(folder / _SUMS, sums)

    def _check(self, source: Source, path: Path, artifact: Artifact, digest: str) -> None:
        """What was built here has only its own sums: another compiler makes other bytes. What was
        downloaded is what it was the first time."""
        if source == "build":
            require(path, digest, str(path.parent / _SUMS))
            return
        expected = artifact.sha256 or self.lock.get(artifact.id)
        require(path, expected or digest, "the lock file" if expected else str(path.parent / _SUMS))
        self.lock.record(artifact.id, digest)

    def _pack(self, paths: list[Path]) -> dict[Path, Path]:
        """Compressed copies, two at a time: zlib lets other threads run."""
        started, packed = time.monotonic(), {}
        with ThreadPoolExecutor(2) as pool:
            for done, (path, copy) in enumerate(
                zip(paths, pool.map(compressed_copy, paths), strict=True), 1
            ):
                packed[path] = copy
                if time.monotonic() - started > _QUIET_S:
                    what = "compress Kubernetes binaries"
                    self.emit(Progress(what=what, done=done, total=len(paths), unit="files"))
        return packed

    def _folder(self, choice: Choice, architecture: str) -> Path:
        name = f"linux-{architecture}"
        if choice.source == "build":
            # Another recipe makes other binaries.
            name = f"debian-{architecture}-{sha256_of(SCRIPT)[:8]}"
        return self.cache / "kubernetes" / choice.version / name

    def advance(self, what: str) -> Advance:
        """Turns bytes into progress events, a few a second."""
        last = time.monotonic()

        def advance(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > 0.2 or done == total:
                last = time.monotonic()
                self.emit(Progress(what=what, done=done, total=total, unit="B"))

        return advance


def _complete(folder: Path, wanted: tuple[Artifact, ...]) -> bool:
    sums = read_sums(folder / _SUMS)
    return all(artifact.name in sums and (folder / artifact.name).exists() for artifact in wanted)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one process at a time fills a folder of the cache; the others wait and find it full."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
