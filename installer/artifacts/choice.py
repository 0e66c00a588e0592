"""Which Kubernetes a cluster gets, and from where. Chosen once and recorded with the cluster; an
upgrade is asked for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from installer import releases
from installer.artifacts.checksums import write_atomically
from installer.artifacts.debian_build import BUILDABLE
from installer.artifacts.download import NotThere, Site, Unanswered
from installer.cluster import Cluster
from installer.errors import ArtifactError
from installer.events import Emit, Notice

Source = Literal["download", "build"]
AUTO = "auto"
RECORD = "kubernetes.json"
"""In the cluster's state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A version and where its binaries come from, if the cache does not have them."""

    version: str
    source: Source


def chosen(cluster: Cluster) -> Choice | None:
    """What was chosen for this cluster earlier, or None."""
    try:
        kept = json.loads((cluster.state / RECORD).read_text())
        return Choice(version=kept["version"], source=kept["source"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def choose(cluster: Cluster, site: Site, emit: Emit, newest: int = releases.NEWEST) -> Choice:
    """The version that the inventory names; for "auto" the one chosen earlier, else the newest
    supported that the site has, else the one that can be built.

    Args:
        cluster: whose inventory and earlier choice count.
        site: where versions are downloaded from.
        emit: receives notices.
        newest: the newest minor release of 1.x that all hosts can run.

    Raises:
        ArtifactError: the version that the inventory names cannot be installed.
    """
    if cluster.kubernetes != AUTO:
        return _named(cluster)
    if earlier := chosen(cluster):
        return earlier
    try:
        version = _newest(site, newest)
    except Unanswered as error:
        instead = f"Kubernetes {BUILDABLE}, built from Debian's source package, is taken instead"
        emit(Notice(text=f"{error}: {instead}", level="warning"))
        return Choice(version=BUILDABLE, source="build")
    emit(Notice(text=f"Kubernetes {version}: the newest supported release at {site.url}"))
    return Choice(version=version, source="download")


def keep(cluster: Cluster, choice: Choice) -> None:
    """Records a cluster's first choice. Another version is recorded once all hosts have it: a run
    in between, with an inventory that names none, must not take it for what they have."""
    earlier = chosen(cluster)
    if earlier is None or earlier.version == choice.version:
        record(cluster, choice)


def record(cluster: Cluster, choice: Choice) -> None:
    """Keep a choice with the cluster."""
    cluster.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if chosen(cluster) != choice:
        content = json.dumps(asdict(choice)) + "\n"
        write_atomically(cluster.state / RECORD, content.encode(), mode=0o600)


def _named(cluster: Cluster) -> Choice:
    try:
        releases.require_supported(cluster.kubernetes)
    except releases.UnsupportedVersion as error:
        raise ArtifactError(str(error), "change `kubernetes` in the inventory") from None
    earlier = chosen(cluster)
    if earlier and earlier.version == cluster.kubernetes:
        return earlier
    return Choice(version=cluster.kubernetes, source="download")


def _newest(site: Site, limit: int) -> str:
    for candidate in reversed([each for each in releases.supported() if each <= limit]):
        try:
            return site.newest(candidate)
        except NotThere:
            continue
    raise Unanswered(f"{site.url} answers, but has no supported Kubernetes release")
