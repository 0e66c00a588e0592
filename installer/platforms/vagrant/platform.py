"""Machines of the Vagrantfile as the engine sees them.

There are two ways in, and they meet here. `romana-install vagrant` calls Vagrant for machines
that are missing, with ROMANA_INSTALL set, which keeps the Vagrantfile's own provisioner still.
`vagrant up` and `vagrant provision` call romana-install when the machines are up, and tell of them
in `machines.TOLD`; then Vagrant is not called.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from installer.cluster import Cluster, Host
from installer.errors import PlatformError
from installer.events import Emit, Notice, Progress
from installer.inventory.loading import ALONE
from installer.platforms.answering import endpoint
from installer.platforms.vagrant import machines, settings
from installer.platforms.vagrant.machines import Active, Machine
from installer.platforms.vagrant.states import RUNNING, is_one, meant, require_fitting
from installer.platforms.vagrant.tool import Tool

ANSWER_S = 2.0
WAIT_S = 60.0
"""How long a machine that runs may take until it answers: it may be booting."""
SILENCE = "ROMANA_INSTALL"
"""The variable that keeps the Vagrantfile's provisioner still."""


def defaults(
    nodes: int | None,
    folder: Path = settings.FOLDER,
    environment: Mapping[str, str] = os.environ,
) -> tuple[str, ...]:
    """What an inventory gets where it says nothing: "KEY=VALUE". Machines that exist decide on the
    provider, unless the environment does.

    Args:
        nodes: how many the command line asks for.
        folder: where the Vagrantfile is.
        environment: of this process.
    """
    kept = machines.dotfiles(folder, environment)
    there = [found for name in machines.made(kept) if (found := machines.active(kept, name))]
    provider = there[0].provider if there else ""
    return settings.defaults(settings.read(environment, provider, folder), nodes)


def _listens(host: Host) -> bool:
    try:
        with socket.create_connection((str(host.address), 22), ANSWER_S):
            return True
    except OSError:
        return False


class Vagrant:
    """Machines that Vagrant makes.

    Args:
        folder: where the Vagrantfile is.
        environment: of this process.
        listens: whether SSH of a host can be reached.
        wait_s: how long to wait for that, in seconds.
    """

    def __init__(
        self,
        folder: Path = settings.FOLDER,
        environment: Mapping[str, str] = os.environ,
        listens: Callable[[Host], bool] = _listens,
        wait_s: float = WAIT_S,
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._listens = listens
        self._wait_s = wait_s

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """What `provision` would do."""
        require_fitting(cluster)
        known = self._known(cluster)
        if machines.TOLD in self._environment or not (missing := self._silent(cluster, known)):
            return ()
        made = self._made()
        return meant(missing, self._tool(cluster).states(), made=made, known=known)

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster with how to log in on machines that exist and were learnt of."""
        require_fitting(cluster)
        known = self._known(cluster)
        hosts = tuple(
            known[host.name].reach(host) if host.name in known else host for host in cluster.hosts
        )
        return replace(cluster, hosts=hosts)

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Has Vagrant make and start what is missing, and learns how to log in there."""
        require_fitting(cluster)
        known = self._known(cluster)
        if machines.TOLD not in self._environment and (missing := self._silent(cluster, known)):
            known = self._bring_up(cluster, missing, known, emit)
        machines.save(_record(cluster), known)
        return self.attach(cluster)

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """Nothing: the machines' network is also this machine's."""
        return ()

    def publish(self, cluster: Cluster) -> str:
        """The address of an API server that answers."""
        return endpoint(cluster)

    def destroy(self, cluster: Cluster, emit: Emit) -> None:
        """Has Vagrant remove the machines. When it is Vagrant that calls, they are gone already."""
        there = self._members(cluster)
        if machines.TOLD in self._environment or not there:
            emit(Notice(text=f"Vagrant has no machine of {cluster.name}"))
            return
        numbers = (int(name.removeprefix("node")) for name in there if name.startswith("node"))
        tool, what = self._tool(cluster, nodes=max(numbers, default=0)), "remove the machines"
        for done, name in enumerate(there):
            emit(Progress(what=what, done=done, total=len(there), unit="machines"))
            tool.destroy(name)
        emit(Progress(what=what, done=len(there), total=len(there), unit="machines"))
        if left := self._members(cluster):
            raise PlatformError(
                f"Vagrant has not removed {', '.join(left)}",
                f"see why: cd {self._folder} && vagrant destroy {' '.join(left)}",
            )

    def _members(self, cluster: Cluster) -> tuple[str, ...]:
        """Machines of the cluster that exist, those included that the inventory has no more."""
        return tuple(name for name in self._made() if (name == ALONE) == is_one(cluster))

    def _bring_up(
        self,
        cluster: Cluster,
        missing: Sequence[Host],
        known: Mapping[str, Machine],
        emit: Emit,
    ) -> dict[str, Machine]:
        tool, made = self._tool(cluster), self._made()
        states = tool.states()
        for line in meant(missing, states, made=made, known=known):
            emit(Notice(text=line))
        if any(states.get(host.name) != RUNNING for host in missing):
            self._up(cluster, tool, emit)
        with ThreadPoolExecutor(max_workers=8) as pool:
            found = pool.map(partial(self._learnt, tool, known), cluster.hosts)
            learnt = dict(zip((host.name for host in cluster.hosts), found, strict=True))
        self._await(missing, emit)
        return learnt

    def _await(self, hosts: Sequence[Host], emit: Emit) -> None:
        """Waits until machines answer; one that does not is a warning: the engine will report it
        unreachable, and the others go on."""
        limit = time.monotonic() + self._wait_s
        while silent := [host for host in hosts if not self._listens(host)]:
            if time.monotonic() > limit:
                break
            time.sleep(0.2)
        for host in silent:
            text = f"machine {host.name} runs, and does not answer at {host.address}; start it anew"
            emit(Notice(text=f"{text}: vagrant reload {host.name}", level="warning"))

    def _up(self, cluster: Cluster, tool: Tool, emit: Emit) -> None:
        provider = self._provider(cluster)
        what, count = f"vagrant up ({provider})", 0

        def hear(line: str) -> None:
            nonlocal count
            count += 1
            emit(Notice(text=line, level="debug"))
            emit(Progress(what=what, done=count, unit="lines"))

        emit(Progress(what=what, done=0, unit="lines"))
        # Without a name all machines but `sandbox` come up, at once where the provider can.
        tool.up(cluster.hosts[0].name if is_one(cluster) else None, provider, hear)
        emit(Progress(what=what, done=max(count, 1), total=max(count, 1), unit="lines"))

    def _learnt(self, tool: Tool, known: Mapping[str, Machine], host: Host) -> Machine:
        found = self._active(host.name)
        if found is None:
            raise PlatformError(
                f"Vagrant says that {host.name} is up, and keeps no id of it",
                f"make it anew: vagrant destroy {host.name}",
            )
        earlier = known.get(host.name)
        if earlier is not None and earlier.id == found.id:
            return earlier
        return tool.learn(host.name, found)

    def _known(self, cluster: Cluster) -> dict[str, Machine]:
        """The machines that exist and were learnt of; a new one in an old one's place was not."""
        if machines.TOLD in self._environment:
            return machines.told(self._environment[machines.TOLD])
        kept = machines.load(_record(cluster))
        return {
            name: machine
            for name, machine in kept.items()
            if (found := self._active(name)) is not None and found.id == machine.id
        }

    def _silent(self, cluster: Cluster, known: Mapping[str, Machine]) -> tuple[Host, ...]:
        """Machines that are not known or do not listen. Without any, Vagrant, which takes seconds,
        has nothing to do."""
        with ThreadPoolExecutor(max_workers=16) as pool:
            listening = tuple(pool.map(self._listens, cluster.hosts))
        return tuple(
            host
            for host, listens in zip(cluster.hosts, listening, strict=True)
            if host.name not in known or not listens
        )

    def _provider(self, cluster: Cluster) -> str:
        found = next((a for host in cluster.hosts if (a := self._active(host.name))), None)
        return settings.read(
            self._environment, found.provider if found else "", self._folder
        ).provider

    def _active(self, name: str) -> Active | None:
        return machines.active(machines.dotfiles(self._folder, self._environment), name)

    def _made(self) -> tuple[str, ...]:
        return machines.made(machines.dotfiles(self._folder, self._environment))

    def _tool(self, cluster: Cluster, nodes: int | None = None) -> Tool:
        """Vagrant, told what the inventory says of machines.

        Args:
            cluster: the inventory's.
            nodes: how many, where it is not as the inventory says.
        """
        count = len(cluster.hosts) - 1 if nodes is None else nodes
        environment = {
            **self._environment,
            SILENCE: "1",
            "ROMANA_NETWORK": str(cluster.network.hosts),
            "ROMANA_MEMORY": str(max(host.memory_mb for host in cluster.hosts)),
            **({} if is_one(cluster) else {"ROMANA_NODES": str(count)}),
        }
        return Tool(self._folder, environment)


def _record(cluster: Cluster) -> Path:
    return cluster.state / "vagrant.json"
