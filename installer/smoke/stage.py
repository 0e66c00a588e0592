"""The test's namespaces, pods, Services and shells: set up, and taken away again whatever happens.

Everything bears `manifests.LABEL`. What a killed run left behind is removed by the next one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from installer.errors import SmokeFailed
from installer.events import Emit, Notice, Progress
from installer.kubernetes import Api, ApiError, Shell
from installer.smoke import manifests
from installer.smoke.flows import Policy
from installer.smoke.pace import PACE, Pace
from installer.smoke.placement import Addresses, Player
from installer.smoke.scripts import PRELUDE

STALE_S = 600.0
"""Another machine's test that is older than this was killed."""
_HOPELESS = ("ErrImageNeverPull", "CreateContainerConfigError", "InvalidImageName")


@dataclass(slots=True, kw_only=True)
class Stage:
    """What the test plays on. `suffix` tells this run from others."""

    api: Api
    pods: tuple[Player, ...]
    emit: Emit
    pace: Pace = PACE
    suffix: str = field(default_factory=lambda: secrets.token_hex(3))
    addresses: Addresses = field(default_factory=lambda: Addresses(pods={}, services={}))
    shells: dict[str, Shell] = field(default_factory=dict)

    def namespace(self, letter: str) -> str:
        """The full name of namespace "a" or "b" of this run."""
        return f"romana-smoke-{self.suffix}-{letter}"

    def policies(self) -> str:
        """The path of the collection of policies."""
        name = self.namespace("a")
        return f"/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies"

    async def set_up(self) -> None:
        """Makes everything, and waits until all pods run, backends are ready and shells are open.

        Raises:
            SmokeFailed: a pod does not start; says why.
        """
        owner = f"{socket.gethostname()}:{os.getpid()}"
        await asyncio.gather(
            *(
                self.api.create(
                    "/api/v1/namespaces",
                    manifests.namespace(self.namespace(letter), self.suffix, owner),
                )
                for letter in ("a", "b")
            )
        )
        services, _ = await asyncio.gather(
            asyncio.gather(*(self._service(pod) for pod in self._served())),
            asyncio.gather(*(self._pod(pod) for pod in self.pods)),
        )
        found = await self._started()
        self.addresses = Addresses(pods=found, services=dict(services))

    async def tear_down(self) -> None:
        """Closes the shells, removes pods and namespaces, and waits until the pods are gone."""
        await asyncio.gather(*(shell.close() for shell in self.shells.values()))
        names = [self.namespace(letter) for letter in ("a", "b")]
        if not await remove(self.api, names, self.pace):
            self.emit(
                Notice(
                    text=f"smoke test: pods in {' and '.join(names)} are not gone after "
                    f"{self.pace.remove_limit_s:.0f} s; their removal goes on",
                    level="warning",
                )
            )

    async def states(self) -> dict[str, Mapping[str, Any]]:
        """The pods' objects by name, as the API server has them."""
        listed = await self.api.get(
            "/api/v1/pods", labelSelector=f"{manifests.LABEL}={self.suffix}"
        )
        return {pod["metadata"]["name"]: pod for pod in listed["items"]}

    async def change(self, before: Sequence[Policy], after: Sequence[Policy]) -> None:
        """Brings other policies into force. What is new comes before what goes."""
        old = {policy.name: policy for policy in before}
        new = {policy.name: policy for policy in after}
        for policy in new.values():
            manifest = manifests.policy(policy, self.suffix)
            if policy.name not in old:
                await self.api.create(self.policies(), manifest)
            elif old[policy.name] != policy:
                await self.api.replace(f"{self.policies()}/{policy.name}", manifest)
        gone = old.keys() - new.keys()
        await asyncio.gather(*(self.api.delete(f"{self.policies()}/{name}") for name in gone))

    def _served(self) -> Iterable[Player]:
        return (pod for pod in self.pods if pod.serves and pod.namespace == "a")

    async def _service(self, player: Player) -> tuple[str, str]:
        path = f"/api/v1/namespaces/{self.namespace(player.namespace)}/services"
        made = await self.api.create(path, manifests.service(player, self.suffix))
        return player.name, str(made["spec"]["clusterIP"])

    async def _pod(self, player: Player) -> None:
        """Creates a pod; a new namespace refuses it until its service account is there."""
        path = f"/api/v1/namespaces/{self.namespace(player.namespace)}/pods"
        deadline = time.monotonic() + self.pace.start_limit_s
        while True:
            try:
                await self.api.create(path, manifests.pod(player, self.suffix))
            except ApiError as error:
                waiting = error.status == 403 and "serviceaccount" in error.message
                if not waiting or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(self.pace.poll_s)
            else:
                return

    async def _started(self) -> dict[str, str]:
        """Waits for all pods; returns their addresses by name. A shell is opened in each as soon
        as it runs."""
        begun = time.monotonic()
        opening: dict[str, asyncio.Task[None]] = {}
        told = -1
        while True:
            states = await self.states()
            for pod in self.pods:
                if pod.name not in opening and _running(states.get(pod.name, {})):
                    opening[pod.name] = asyncio.create_task(self._shell(pod))
            done = sum(_fit(states.get(pod.name, {}), pod) for pod in self.pods)
            waited = time.monotonic() - begun
            if done != told:
                told = done
                self.emit(
                    Progress(
                        what="smoke test: pods start", done=done, total=len(self.pods), unit="pods"
                    )
                )
            if done == len(self.pods):
                await asyncio.gather(*opening.values())
                return {name: str(state["status"]["podIP"]) for name, state in states.items()}
            hopeless = any(_reason(state) in _HOPELESS for state in states.values())
            if hopeless or waited > self.pace.start_limit_s:
                raise await self._stuck(states, waited)
            await asyncio.sleep(self.pace.poll_s)

    async def _shell(self, player: Player) -> None:
        shell = await Shell.open(self.api, self.namespace(player.namespace), player.name)
        self.shells[player.name] = shell
        await shell.send(PRELUDE)
        await shell.ask("echo ready")

    async def _stuck(self, states: Mapping[str, Mapping[str, Any]], waited: float) -> SmokeFailed:
        late = [pod for pod in self.pods if not _fit(states.get(pod.name, {}), pod)]
        whys = await asyncio.gather(*(self._why(pod, states.get(pod.name, {})) for pod in late))
        return SmokeFailed(
            f"smoke test: {len(late)} of {len(self.pods)} pods do not start within "
            f"{waited:.0f} s: {'; '.join(whys)}",
            ("pods start",),
            "look at kubelet, containerd and romana-agent on that host: romana-install status",
        )

    async def _why(self, pod: Player, state: Mapping[str, Any]) -> str:
        """What is known of a pod that does not start: its state's reason and its last event."""
        path = f"/api/v1/namespaces/{self.namespace(pod.namespace)}/events"
        listed = await self.api.get(path, fieldSelector=f"involvedObject.name={pod.name}")
        said = [str(event.get("message", "")) for event in listed["items"]]
        where = f"{pod.name} on {pod.site.node}"
        reason = _reason(state) or state.get("status", {}).get("phase") or "not created"
        return f"{where}: {reason}" + (f" ({said[-1][:200]})" if said else "")


async def sweep(api: Api, emit: Emit, pace: Pace = PACE) -> None:
    """Removes what killed runs left behind."""
    listed = await api.get("/api/v1/namespaces", labelSelector=manifests.LABEL)
    now = datetime.now(timezone.utc)
    here = socket.gethostname()
    stale = [
        str(namespace["metadata"]["name"])
        for namespace in listed["items"]
        if is_leftover(namespace, here, now, _alive)
    ]
    if stale:
        emit(Notice(text=f"smoke test: removing what a killed run left: {', '.join(stale)}"))
        await remove(api, stale, pace)


def is_leftover(
    namespace: Mapping[str, Any], here: str, now: datetime, alive: Callable[[int], bool]
) -> bool:
    """Whether a labelled namespace belongs to a run that is over.

    Args:
        namespace: the object.
        here: this machine's name.
        now: the time.
        alive: tells whether a process of this machine, by number, runs.
    """
    metadata = namespace["metadata"]
    if metadata.get("deletionTimestamp"):
        return False
    machine, _, number = metadata.get("annotations", {}).get(manifests.OWNER, "").rpartition(":")
    if machine == here and number.isdigit():
        return not alive(int(number))
    made = datetime.fromisoformat(metadata["creationTimestamp"].replace("Z", "+00:00"))
    return (now - made).total_seconds() > STALE_S


async def remove(api: Api, names: Sequence[str], pace: Pace) -> bool:
    """Deletes namespaces, their pods first (the namespace controller only looks again after
    seconds); returns whether the pods went in time. The namespaces themselves follow at the
    controller's pace.

    Without a grace period the kubelet ends the containers just the same; it would only report the
    pod's end up to half a minute later.
    """
    pods = (f"/api/v1/namespaces/{name}/pods" for name in names)
    await asyncio.gather(*(api.delete(path, gracePeriodSeconds="0") for path in pods))
    deadline = time.monotonic() + pace.remove_limit_s
    left = True
    while left and time.monotonic() < deadline:
        lists = await asyncio.gather(
            *(api.get(f"/api/v1/namespaces/{name}/pods") for name in names)
        )
        left = any(listed["items"] for listed in lists)
        await asyncio.sleep(pace.poll_s if left else 0)
    await asyncio.gather(*(api.delete(f"/api/v1/namespaces/{name}") for name in names))
    return not left


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _running(state: Mapping[str, Any]) -> bool:
    status = state.get("status", {})
    containers = status.get("containerStatuses") or ()
    return bool(status.get("podIP")) and any("running" in c.get("state", {}) for c in containers)


def _fit(state: Mapping[str, Any], pod: Player) -> bool:
    return _running(state) and (pod.actor != "backend" or ready_since(state) != "")


def ready_since(state: Mapping[str, Any]) -> str:
    """When a pod became ready; empty while it is not."""
    conditions = state.get("status", {}).get("conditions") or ()
    found = (c for c in conditions if c["type"] == "Ready" and c["status"] == "True")
    return next((str(c["lastTransitionTime"]) for c in found), "")


def restarts(state: Mapping[str, Any]) -> int:
    """How often a pod's container was started again."""
    containers = state.get("status", {}).get("containerStatuses") or ()
    return sum(int(c["restartCount"]) for c in containers)


def _reason(state: Mapping[str, Any]) -> str:
    containers = state.get("status", {}).get("containerStatuses") or ()
    waiting = (c.get("state", {}).get("waiting", {}) for c in containers)
    return next((str(w["reason"]) for w in waiting if "reason" in w), "")
