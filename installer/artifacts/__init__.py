"""What a run lays down on hosts: had from cache, download or build, checked, and named in one
value."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from installer import images
from installer.artifacts.catalogue import Artifact, Artifacts, Resolved, cache_directory
from installer.artifacts.checksums import Lock, sha256_of
from installer.artifacts.choice import choose, chosen, keep
from installer.artifacts.download import Site
from installer.artifacts.fetch import Depot
from installer.artifacts.romana_release import release_for
from installer.artifacts.upstream import Name, bring
from installer.cluster import Cluster
from installer.events import Emit

__all__ = ["Artifact", "Artifacts", "Resolved", "cache_directory", "chosen", "prepare"]

LOCK = "artifacts.lock"
"""In the cluster's state directory."""


def prepare(
    cluster: Cluster,
    *,
    pythons: Collection[str],
    upstream: Collection[Name] = (),
    emit: Emit,
    architecture: str = "amd64",
    cache: Path | None = None,
) -> Artifacts:
    """Have everything that a run lays down. Nothing to do takes about 50 ms.

    Args:
        cluster: whose `kubernetes`, `download_url` and `state` say what, from where, and where the
        choice is recorded.
        pythons: the Python versions that agents run with, of all hosts: "3.11".
        upstream: what is brought to hosts whose distribution lacks it.
        emit: receives notices and progress.
        architecture: the hosts', as Kubernetes spells it.
        cache: where artifacts are kept; the user's cache where it is left out.

    Raises:
        ArtifactError: something cannot be had, or is not what its checksum says.
    """
    cache = cache or cache_directory()
    site = Site(url=cluster.download_url)
    depot = Depot(cache=cache, site=site, lock=Lock(cluster.state / LOCK), emit=emit)
    choice, programs = depot.kubernetes(choose(cluster, site, emit), architecture)
    keep(cluster, choice)
    return Artifacts(
        kubernetes=choice.version,
        programs=programs,
        releases={
            python: release_for(cluster.romana, python, architecture, cache, emit)
            for python in sorted(set(pythons))
        },
        images=tuple(
            Resolved(
                name=image.ref,
                version=image.digest,
                path=image.path,
                sha256=sha256_of(image.path),
            )
            for image in images.images()
        ),
        upstream=bring(
            upstream, cluster.upstream_url, architecture, depot, versions=_versions(cluster)
        ),
    )


def _versions(cluster: Cluster) -> dict[str, str]:
    """What the inventory names of what is brought to hosts."""
    named = {"etcd": cluster.etcd, "containerd": cluster.containerd}
    return {name: version for name, version in named.items() if version != "auto"}
