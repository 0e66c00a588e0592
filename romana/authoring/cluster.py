"""Policies in the Kubernetes API, put there by the operator's own identity: agents may not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from romana.authoring.drafts import Draft
from romana.authoring.place import Outcome, meant
from romana.objects import Key
from romana.sources.api import Api, ApiError
from romana.sources.errors import SourceError
from romana.sources.kinds import Kind
from romana.sources.kubeconfig import api_address

NOT_FOUND = 404
ATTEMPTS = 5
"""How often an object that changes meanwhile is read and replaced again."""


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """The API that a kubeconfig names, as whom it says."""

    kubeconfig: Path

    @property
    def title(self) -> str:
        """The file that leads there."""
        return f"the cluster of {self.kubeconfig}"

    def add(self, draft: Draft) -> Outcome:
        """Create a policy, or put it in place of the one of its name.

        Raises:
            SourceError: the API refuses, or cannot be reached.
        """
        return self._asking(lambda api: _add(api, draft))

    def remove(self, name: str) -> Outcome:
        """Delete a policy.

        Raises:
            SourceError: there is none of that name, or the API refuses.
        """
        return self._asking(lambda api: _remove(api, name))

    def _asking(self, action: Callable[[Api], Awaitable[Outcome]]) -> Outcome:
        async def run() -> Outcome:
            with api_address(self.kubeconfig) as address:
                api = Api(address)
                try:
                    return await action(api)
                finally:
                    await api.close()

        return asyncio.run(run())


async def _add(api: Api, draft: Draft) -> Outcome:
    manifest = {
        **draft.manifest,
        "apiVersion": draft.kind.api_version,
        "metadata": {**draft.manifest["metadata"], **_in_namespace(draft)},
    }
    try:
        await api.create(_collection(draft.kind, draft.key[0]), manifest)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise _explained(error, draft.kind) from error
        return await _replace(api, draft, manifest)
    return Outcome.ADDED


async def _replace(api: Api, draft: Draft, manifest: dict[str, Any]) -> Outcome:
    path = _path(draft.kind, draft.key)
    for attempt in range(ATTEMPTS):
        current = msgspec.json.decode(await api.get(path, {}))
        if current.get("spec") == draft.manifest.get("spec"):
            return Outcome.UNCHANGED
        version = current["metadata"].get("resourceVersion", "")
        metadata = {**manifest["metadata"], "resourceVersion": version}
        try:
            await api.replace(path, {**manifest, "metadata": metadata})
        except ApiError as error:
            if error.reason != "Conflict" or attempt == ATTEMPTS - 1:
                raise
        else:
            break
    return Outcome.CHANGED


async def _remove(api: Api, name: str) -> Outcome:
    kinds, key = meant(name)
    for kind in kinds:
        try:
            await api.delete(_path(kind, key))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
        else:
            return Outcome.REMOVED
    said = f"{kinds[0].name} {'/'.join(filter(None, key))}"
    raise SourceError(f"there is no {said} in the cluster; `romana policy list` shows all")


def _explained(error: ApiError, kind: Kind) -> SourceError:
    """Why an object cannot be created, in the operator's words."""
    if error.status == NOT_FOUND:
        return SourceError(
            f"the cluster has no {kind.name} of {kind.api_version}, or not the namespace: {error}"
        )
    return error


def _in_namespace(draft: Draft) -> dict[str, str]:
    return {"namespace": draft.key[0]} if draft.kind.namespaced else {}


def _collection(kind: Kind, namespace: str) -> str:
    root, _, plural = kind.path.rpartition("/")
    return f"{root}/namespaces/{namespace}/{plural}" if kind.namespaced else kind.path


def _path(kind: Kind, key: Key) -> str:
    return f"{_collection(kind, key[0])}/{key[1]}"
