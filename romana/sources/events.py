"""Events on objects that cannot be honoured: where their owner looks, with `kubectl describe`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from hashlib import blake2b

from romana.objects import NetworkPolicy
from romana.sources.api import Api, ApiError
from romana.sources.errors import InvalidObject
from romana.sources.kinds import BETA_POLICY, KINDS

MESSAGE_LIMIT = 1000
"""Characters; the API takes 1024."""

API_VERSIONS = {kind.name: kind.api_version for kind in KINDS}


def now() -> datetime:
    """The present time."""
    return datetime.now(timezone.utc)


def event_for(error: InvalidObject, node: str, at: datetime) -> dict[str, object]:
    """The event that tells of an object that cannot be read. Its name follows from object and
    message, so that all agents together make one.
    """
    namespace, name = error.key
    digest = blake2b(f"{error.kind} {error}".encode(), digest_size=8).hexdigest()
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    where = f"{error.field}: " if error.field else ""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{digest}", "namespace": namespace or "default"},
        "involvedObject": {
            "apiVersion": _api_version(error),
            "kind": error.kind,
            "namespace": namespace,
            "name": name,
            **({"uid": error.uid} if error.uid else {}),
        },
        "type": "Warning",
        "reason": "NotEnforced",
        "message": f"not in force as written: {where}{error.reason}"[:MESSAGE_LIMIT],
        "source": {"component": "romana-agent", "host": node},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def _api_version(error: InvalidObject) -> str:
    if isinstance(error.closed, NetworkPolicy) and error.closed.beta:
        return BETA_POLICY.api_version
    return API_VERSIONS[error.kind]


class EventWriter:
    """Writes events.

    Args:
        api: the API.
        node: this host's name.
        clock: the present time.
    """

    def __init__(self, api: Api, node: str, clock: Callable[[], datetime] = now) -> None:
        self._api = api
        self._node = node
        self._clock = clock

    async def write(self, error: InvalidObject) -> None:
        """Tell of an object that cannot be read. That it has been told already is no error.

        Raises:
            ApiError: it cannot be told.
        """
        event = event_for(error, self._node, self._clock())
        namespace = error.key[0] or "default"
        try:
            await self._api.create(f"/api/v1/namespaces/{namespace}/events", event)
        except ApiError as refusal:
            if refusal.reason != "AlreadyExists":
                raise
