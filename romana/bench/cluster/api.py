"""The cluster's API, for the few things that the bench asks of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from romana.bench.cluster.objects import LABEL, namespace, network_policy, policy_name, trouble
from romana.bench.errors import BenchError
from romana.bench.workload import Allowed
from romana.sources.api import Api, ApiAddress, ApiError
from romana.sources.kubeconfig import api_address

T = TypeVar("T")

AT_ONCE = 16
"""Requests under way when policies are created or deleted."""
PODS_LIMIT_S = 180.0
GONE_LIMIT_S = 180.0
LOOK_EVERY_S = 0.25
NOT_FOUND = 404
_NAMESPACES = "/api/v1/namespaces"
_POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, as whom the kubeconfig says."""

    address: ApiAddress

    @property
    def server(self) -> str:
        """The URL of its API."""
        return self.address.servers[0]

    def nodes(self) -> list[dict[str, Any]]:
        """All of them.

        Raises:
            ApiError: the API refuses, or cannot be reached; as all of these.
        """
        return list(self._get("/api/v1/nodes")["items"])

    @contextmanager
    def namespace(self, name: str) -> Iterator[None]:
        """A namespace for as long as the block, and nothing of it afterwards.

        Raises:
            BenchError: another run has one, or left it; or it does not go away.
        """
        there = self._get(_NAMESPACES, labelSelector=LABEL)["items"]
        if there:
            other = there[0]["metadata"]["name"]
            raise BenchError(
                f"the namespace {other} is there: another bench runs, or one was killed; "
                f"if none runs: kubectl delete namespace {other}"
            )
        try:
            self._asking(lambda api: api.create(_NAMESPACES, namespace(name)))
            yield
        finally:
            self._remove(name)

    def run_pods(self, name: str, manifests: Iterable[dict[str, Any]]) -> list[str]:
        """Create pods in a namespace and wait until they run; their addresses.

        Raises:
            BenchError: they do not.
        """
        where, wanted = f"{_NAMESPACES}/{name}/pods", tuple(manifests)
        self._many(wanted, lambda api, each: api.create(where, each))
        limit = time.monotonic() + PODS_LIMIT_S
        while True:
            pods = [self._get(f"{where}/{each['metadata']['name']}") for each in wanted]
            waiting = [each for each in pods if not _runs(each)]
            if not waiting:
                return [each["status"]["podIP"] for each in pods]
            if time.monotonic() > limit:
                pod = waiting[0]
                title = f"pod {name}/{pod['metadata']['name']} on {pod['spec']['nodeName']}"
                raise BenchError(f"{title} does not run after {PODS_LIMIT_S:g} s: {trouble(pod)}")
            time.sleep(LOOK_EVERY_S)

    def change_policies(
        self, name: str, before: frozenset[Allowed], after: frozenset[Allowed]
    ) -> None:
        """Create the policies of a namespace that are missing and delete what is too much."""
        where = _POLICIES.format(name)
        if before and not after:
            self._asking(lambda api: api.delete(where))
            return
        self._many(before - after, lambda api, each: api.delete(f"{where}/{policy_name(each)}"))
        self._many(after - before, lambda api, each: api.create(where, network_policy(each, name)))

    def _remove(self, name: str) -> None:
        path = f"{_NAMESPACES}/{name}"
        limit = time.monotonic() + GONE_LIMIT_S
        try:
            self._asking(lambda api: api.delete(path))
            # Their programs have ended; kubelets take up to a minute to say so.
            self._asking(lambda api: api.delete(f"{path}/pods?gracePeriodSeconds=0"))
            while time.monotonic() < limit:
                self._get(path)
                time.sleep(LOOK_EVERY_S)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return
            raise
        raise BenchError(f"the namespace {name} is not gone after {GONE_LIMIT_S:g} s: remove it")

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = self._asking(lambda api: api.get(path, parameters))
        return dict(msgspec.json.decode(answer))

    def _many(self, items: Iterable[T], action: Callable[[Api, T], Awaitable[bytes]]) -> None:
        async def all_of_them(api: Api) -> None:
            turn = asyncio.Semaphore(AT_ONCE)

            async def one(item: T) -> None:
                async with turn:
                    await action(api, item)

            await asyncio.gather(*(one(item) for item in items))

        self._asking(all_of_them)

    def _asking(self, action: Callable[[Api], Awaitable[T]]) -> T:
        async def run() -> T:
            api = Api(self.address)
            try:
                return await action(api)
            finally:
                await api.close()

        return asyncio.run(run())


@contextmanager
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    """The cluster of a kubeconfig.

    Raises:
        SourceError: the file cannot be used.
    """
    with api_address(kubeconfig) as address:
        yield Cluster(address)


def _runs(pod: dict[str, Any]) -> bool:
    status = pod.get("status", {})
    return status.get("phase") == "Running" and bool(status.get("podIP"))
