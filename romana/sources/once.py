"""The cluster's objects, read once as an operator: for questions that no agent is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

from romana.objects import SEGMENT_LABELS, Snapshot
from romana.sources.api import Api, ApiError
from romana.sources.errors import SourceError
from romana.sources.kinds import BLOCK, KINDS, ROMANA_POLICY
from romana.sources.kubeconfig import api_address, candidates
from romana.sources.kubernetes import NOT_FOUND, Follower
from romana.sources.manifests import Shelf, directory_of, read_directory

PREFIX = "kubernetes"
FORMS = "files:DIRECTORY of manifests, or kubernetes[:KUBECONFIG]"
_OURS = (BLOCK, ROMANA_POLICY)


def read_once(
    source: str, segment_labels: tuple[str, ...] = SEGMENT_LABELS
) -> tuple[Snapshot, tuple[SourceError, ...]]:
    """All objects of a source, and what is wrong with some of them.

    Args:
        source: `files:DIRECTORY`, `kubernetes:KUBECONFIG`, or `kubernetes` for the cluster that
            kubectl would ask.
        segment_labels: labels that name a pod's segment.

    Raises:
        SourceError: it names nothing, or cannot be read: then nothing can be said.
    """
    kind, _, path = source.partition(":")
    if kind != PREFIX:
        return read_directory(directory_of(source), segment_labels)
    kubeconfig = Path(path) if path else next(candidates(), None)
    if kubeconfig is None:
        raise SourceError(
            "--source kubernetes: there is no kubeconfig; set KUBECONFIG or write kubernetes:FILE"
        )
    shelf = Shelf()
    with api_address(kubeconfig) as address:
        asyncio.run(_list_all(Api(address), shelf))
    return shelf.snapshot(segment_labels), tuple(shelf.faults)


async def _list_all(api: Api, shelf: Shelf) -> None:
    try:
        for kind in KINDS:
            try:
                await Follower(api, shelf, kind).list()
            except ApiError as error:
                # A cluster without Romana's kinds has none of them: what would it be like with it?
                if error.status != NOT_FOUND or kind not in _OURS:
                    raise SourceError(f"list of {kind.plural}: {error}") from error
    finally:
        await api.close()
