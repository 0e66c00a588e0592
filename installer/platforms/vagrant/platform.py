"""Machines of the Vagrantfile as the engine sees them.

There are two ways in, and they meet here. `romana-install vagrant` calls Vagrant for machines
that are missing, with ROMANA_INSTALL set, which keeps the Vagrantfile's own provisioner still.
`vagrant up` and `vagrant provision` call romana-install when the machines are up, and tell of them
in `machines.TOLD`; then Vagrant is not called.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from installer.cluster import Cluster, Host
from installer.errors import PlatformError
from installer.events import Emit, Notice, Progress
from installer.inventory.loading import ALONE, FIRST_HOST
from installer.platforms.vagrant import machines, settings
from installer.platforms.vagrant.machines import Active, Machine
from installer.platforms.vagrant.tool import Tool

ANSWER_S = 2.0
RUNNING = "running"
SILENCE = "ROMANA_INSTALL"
"""The variable that keeps the Vagrantfile's provisioner still."""
_STARTED_BY_UP = ("poweroff", "saved", "aborted", "stopped", "frozen", "shutoff", "paused")


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
    """

    def __init__(
        self,
        folder: Path = settings.FOLDER,
        environment: Mapping[str, str] = os.environ,
        listens: Callable[[Host], bool] = _listens,
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._listens = listens

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """What `provision` would do."""
        _require_fitting(cluster)
        known = self._known(cluster)
        if machines.TOLD in self._environment or not (missing := self._silent(cluster, known)):
            return ()
        made = self._made()
        return meant(missing, self._tool(cluster).states(), made=made, known=known)

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster with how to log in on machines that exist and were learnt of."""
        _require_fitting(cluster)
        known = self._known(cluster)
        hosts = tuple(
            known[host.name].reach(host) if host.name in known else host for host in cluster.hosts
        )
        return replace(cluster, hosts=hosts)

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Has Vagrant make and start what is missing, and learns how to log in there."""
        _require_fitting(cluster)
        known = self._known(cluster)
        if machines.TOLD not in self._environment and (missing := self._silent(cluster, known)):
            known = self._bring_up(cluster, missing, known, emit)
        machines.save(_record(cluster), known)
        return self.attach(cluster)

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """Nothing: the machines' network is also this machine's."""
        return ()

    def publish(self, cluster: Cluster) -> str:
        """The API server's own address."""
        return f"https://{cluster.api_address}:{cluster.api_port}"

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
        return tuple(name for name in self._made() if (name == ALONE) == _is_one(cluster))

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
            return {host.name: machine for host, machine in zip(cluster.hosts, found, strict=True)}

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
        tool.up(cluster.hosts[0].name if _is_one(cluster) else None, provider, hear)
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
            **({} if _is_one(cluster) else {"ROMANA_NODES": str(count)}),
        }
        return Tool(self._folder, environment)


def meant(
    hosts: Sequence[Host],
    states: Mapping[str, str],
    *,
    made: Sequence[str],
    known: Mapping[str, Machine],
) -> tuple[str, ...]:
    """What bringing machines up comes to, a line each.

    Args:
        hosts: that are not known or do not listen.
        states: of machines, in Vagrant's words, by name.
        made: names of machines that Vagrant has made.
        known: machines that can be logged in on.

    Raises:
        PlatformError: a machine is in a state that `vagrant up` does not lead out of.
    """
    return tuple(
        line
        for host in hosts
        if (line := _line(host, states.get(host.name, ""), host.name in made, host.name in known))
    )


def _line(host: Host, state: str, made: bool, known: bool) -> str:
    if state == RUNNING:
        if not known:
            return f"learn the host key of machine {host.name}, which runs"
        return f"wait for machine {host.name}, which runs and does not answer at {host.address}"
    if state == "not_created":
        again = " anew: it is gone from its provider" if made else ""
        return f"make machine {host.name} ({host.address}){again}"
    if state in _STARTED_BY_UP:
        return f"start machine {host.name}, which is {state}"
    raise PlatformError(
        f"machine {host.name} is {state or 'unknown to the Vagrantfile'}",
        f"look at it in its provider; to make it anew: vagrant destroy {host.name}",
    )


def _require_fitting(cluster: Cluster) -> None:
    """Whether the Vagrantfile has these hosts.

    Raises:
        PlatformError: it has others; says which.
    """
    name = settings.ONE if _is_one(cluster) else settings.SEVERAL
    if cluster.name != name:
        raise PlatformError(
            f"the Vagrantfile has no cluster {cluster.name}",
            f"leave the name out; it has {settings.SEVERAL} (a controller and nodes) and "
            f"{settings.ONE} (nodes: 0)",
        )
    nodes = [f"node{number}" for number in range(1, len(cluster.hosts))]
    names = [ALONE] if _is_one(cluster) else ["controller", *nodes]
    first = FIRST_HOST - 1 if _is_one(cluster) else FIRST_HOST
    wanted = {name: cluster.network.hosts[first + n] for n, name in enumerate(names)}
    for host in cluster.hosts:
        if wanted.get(host.name) != host.address:
            there = ", ".join(f"{name} {address}" for name, address in wanted.items())
            raise PlatformError(
                f"the Vagrantfile has no machine {host.name} with the address {host.address}",
                f"it has {there}; use nodes: {len(cluster.hosts) - 1} instead of hosts",
            )


def _is_one(cluster: Cluster) -> bool:
    return len(cluster.hosts) == 1


def _record(cluster: Cluster) -> Path:
    return cluster.state / "vagrant.json"
