"""Events on objects that cannot be honoured."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from romana.objects import NetworkPolicy
from romana.sources.api import ApiError
from romana.sources.errors import InvalidObject
from romana.sources.events import EventWriter, event_for

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
CLOSED = NetworkPolicy("shop", "odd", uid="u1")
ERROR = InvalidObject("NetworkPolicy", "shop/odd", "spec.egress[0]", "is bad", CLOSED)


def test_an_event_is_on_the_object_and_all_agents_make_the_same():
    one, two = event_for(ERROR, "node1", AT), event_for(ERROR, "node2", AT)
    assert one["metadata"] == two["metadata"]
    assert one["metadata"]["namespace"] == "shop"
    assert one["metadata"]["name"].startswith("odd.")
    assert one["involvedObject"] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "namespace": "shop",
        "name": "odd",
        "uid": "u1",
    }
    assert one["message"] == "not in force as written: spec.egress[0]: is bad"
    assert one["firstTimestamp"] == "2026-01-02T03:04:05Z"


class FakeApi:
    def __init__(self, reason):
        self.reason, self.paths = reason, []

    async def create(self, path, manifest):
        self.paths.append(path)
        if self.reason:
            raise ApiError("no", 409, self.reason)


async def test_told_already_is_no_error():
    api = FakeApi("AlreadyExists")
    await EventWriter(api, "node1", lambda: AT).write(ERROR)
    assert api.paths == ["/api/v1/namespaces/shop/events"]
    with pytest.raises(ApiError):
        await EventWriter(FakeApi("Forbidden"), "node1", lambda: AT).write(ERROR)
