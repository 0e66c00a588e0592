"""Hosts with the real agent, and pods that the real CNI plugin attaches, all as namespaces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import yaml

from romana.agent.client import NoAnswer, ask
from romana.cni import plugin
from romana.conformance.cases import ConformanceError, PodState
from romana.conformance.placement import Placement
from romana.dataplane.backends import BackendName
from romana.lab.namespaces import UPLINK, Lab, Namespace
from romana.lab.naming import HOSTS

START_LIMIT_S = 30
STOP_LIMIT_S = 10
FIRST_HOST = 11
HOSTS6 = IPv6Network("fd00:18::/64")
IFNAME = "eth0"
DAEMON = "romana.agent.daemon"
RELEASE = f"import sys; sys.path.insert(0, {{!r}}); from {DAEMON} import main; main()"
"""Runs the agent of another release."""


def host_addresses(names: Iterable[str]) -> dict[str, tuple[IPv4Address, IPv6Address]]:
    """An address of each family, on the lab's one network, for each host."""
    return {
        name: (HOSTS[FIRST_HOST + number], HOSTS6[FIRST_HOST + number])
        for number, name in enumerate(names)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host with its agent.

    Args:
        directory: of its configuration, its socket, its leases and its log.
    """

    name: str
    namespace: Namespace
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        """Where the agent answers."""
        return self.directory / "agent.sock"

    @property
    def log(self) -> str:
        """The last lines the agent wrote."""
        lines = (self.directory / "agent.log").read_text(errors="replace").splitlines()
        return "; ".join(lines[-3:]) or "it wrote nothing"


class Cluster:
    """Hosts with agents, and pods on them.

    Args:
        lab: where hosts and pods are made; its owner removes it.
        placement: which host holds which block.
        nodes: the hosts with their addresses.
        manifests: the directory that all agents follow.
        work: an empty directory for the agents' state.
        backend: the agents' data plane.
        settings: further keys of the agents' configuration.
        environment: further variables of the agents' processes.
    """

    def __init__(
        self,
        lab: Lab,
        placement: Placement,
        nodes: Mapping[str, tuple[IPv4Address, IPv6Address]],
        *,
        manifests: Path,
        work: Path,
        backend: BackendName = "nftables",
        settings: Mapping[str, Any] = MappingProxyType({}),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._lab = lab
        self._placement = placement
        self._nodes = nodes
        self._manifests = manifests
        self._work = work
        self._settings = {"backend": backend, **settings}
        self._environment = environment
        self._threads = ThreadPoolExecutor(max_workers=8)
        self._count = 0
        self._own: dict[str, dict[str, Any]] = {name: {} for name in nodes}
        self._pods: dict[str, tuple[Namespace, PodState]] = {}
        self.hosts: dict[str, Host] = {}

    def start(self) -> None:
        """Start a host with its agent for each node, and wait until policies are in force.

        Raises:
            ConformanceError: an agent does not start.
            LabError: a host cannot be made.
        """
        for name, (four, six) in self._nodes.items():
            namespace = self._lab.host(name, four)
            interface = f"{six}/{HOSTS6.prefixlen}"
            namespace.ip("address", "replace", interface, "dev", UPLINK, "nodad")
            self.hosts[name] = self._start(name, namespace)
        for host in self.hosts.values():
            self._await(host)

    def stop(self) -> None:
        """Stop the agents. What they wrote goes with the lab."""
        for host in self.hosts.values():
            host.process.send_signal(signal.SIGTERM)
        for host in self.hosts.values():
            try:
                host.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                host.process.kill()
                host.process.wait()
        self._threads.shutdown()

    def enforced(self, revision: str) -> dict[str, float]:
        """Wait until every agent has a revision of the manifests in force.

        Returns:
            When each host's answer came (monotonic seconds).

        Raises:
            ConformanceError: an agent cannot bring it in force.
        """

        def wait(host: Host) -> float:
            self._ask(host, "enforced", revision=revision)
            return time.monotonic()

        return dict(zip(self.hosts, self._threads.map(wait, self.hosts.values()), strict=True))

    def attach(self, pods: Iterable[PodState]) -> dict[str, Namespace]:
        """Make pods' namespaces, where they are not prepared, and attach them, with the addresses
        they ask for.

        Returns:
            The namespaces by the pods' titles.

        Raises:
            ConformanceError: the plugin refuses.
            LabError: a namespace cannot be made.
        """
        wanted = tuple(pods)
        self.prepare(pod for pod in wanted if pod.title not in self._pods)
        tuple(self._threads.map(self._attach, wanted))
        return {pod.title: self._pods[pod.title][0] for pod in wanted}

    def prepare(self, pods: Iterable[PodState]) -> dict[str, Namespace]:
        """Make namespaces for pods that are attached later.

        Returns:
            The namespaces by the pods' titles.

        Raises:
            LabError: a namespace cannot be made.
        """
        made = {}
        for pod in pods:
            self._count += 1
            name = f"pod-{self._placement.host(pod.address)}-{self._count}"
            made[pod.title] = self._lab.namespace(name)
            self._pods[pod.title] = (made[pod.title], pod)
        return made

    def detach(self, titles: Iterable[str]) -> None:
        """Detach pods, and remove their namespaces.

        Raises:
            ConformanceError: the plugin refuses.
        """
        for title in titles:
            namespace, pod = self._pods[title]
            self._plugin("DEL", pod, namespace)
            namespace.delete()
            del self._pods[title]

    def vanish(self, titles: Iterable[str]) -> None:
        """End pods without a word to the agent, as where their host goes down."""
        for title in titles:
            namespace, _ = self._pods.pop(title)
            namespace.delete()

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a host's agent by a signal, and wait for its end."""
        process = self.hosts[name].process
        process.send_signal(number)
        process.wait(STOP_LIMIT_S)

    def revive(self, name: str, release: Path | None = None, *, wait: bool = True) -> None:
        """Start a host's agent again.

        Args:
            name: the host's.
            release: a directory with another `romana` to start; None for this one.
            wait: until policies are in force.

        Raises:
            ConformanceError: it does not start.
        """
        self.hosts[name] = self._start(name, self.hosts[name].namespace, release)
        if wait:
            self._await(self.hosts[name])

    def configure(self, name: str, **settings: Any) -> None:
        """Have a host's agent read its configuration again, with other settings than before; it
        looks at what the kernel holds, too."""
        self._own[name] |= settings
        self._write(name)
        self.hosts[name].process.send_signal(signal.SIGHUP)

    def ask(self, name: str, method: str, **parameters: Any) -> Any:
        """Ask a host's agent.

        Raises:
            ConformanceError: it does not answer, or refuses.
        """
        return self._ask(self.hosts[name], method, **parameters)

    def judge(self, host: str, flows: list[tuple[str, str, int, int]]) -> list[dict[str, str]]:
        """What the compiled form of a host says of flows.

        Raises:
            ConformanceError: the agent does not answer.
        """
        answer: list[dict[str, str]] = self._ask(self.hosts[host], "judge", flows=flows)
        return answer

    def explain(
        self, host: str, source: str, destination: str, protocol: str, port: int
    ) -> list[str]:
        """Why, in the words of a host's agent; or why it cannot say."""
        question: dict[str, Any] = {"from": source, "to": destination}
        try:
            answer = self._ask(
                self.hosts[host], "explain", protocol=protocol, port=port, **question
            )
            problems = self._ask(self.hosts[host], "status")["problems"]
        except ConformanceError as error:
            return [str(error)]
        lines = [*answer["lines"], *(f"problem: {each}" for each in problems)]
        return [f"{host}: {line}" for line in lines]

    def _ask(self, host: Host, method: str, **parameters: Any) -> Any:
        try:
            return ask(host.socket, method, **parameters)
        except NoAnswer as error:
            if host.process.poll() is not None:
                raise ConformanceError(f"the agent of {host.name} has ended: {host.log}") from error
            raise ConformanceError(f"{host.name}: {error}") from error

    def _start(self, name: str, namespace: Namespace, release: Path | None = None) -> Host:
        directory = self._write(name)
        program = ("-c", RELEASE.format(str(release))) if release else ("-m", DAEMON)
        words = (*program, "--config", str(directory / "agent.yml"))
        variables = {**os.environ, **self._environment}
        with (directory / "agent.log").open("ab") as log:
            process = namespace.popen(sys.executable, *words, stdout=log, stderr=log, env=variables)
        return Host(name=name, namespace=namespace, directory=directory, process=process)

    def _write(self, name: str) -> Path:
        """Write an agent's configuration; the directory of all that is its own."""
        directory = self._work / name
        directory.mkdir(exist_ok=True)
        config = {
            "node": name,
            "source": f"files:{self._manifests}",
            "pods": {"cidrs": [str(block) for block in self._placement.blocks]},
            **self._settings,
            "socket": str(directory / "agent.sock"),
            "state": str(directory / "state"),
            "metrics": "off",
            **self._own[name],
        }
        (directory / "agent.yml").write_text(yaml.safe_dump(config))
        return directory

    def _await(self, host: Host) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while host.process.poll() is None and time.monotonic() < limit:
            try:
                ask(host.socket, "enforced")
            except NoAnswer:
                time.sleep(0.02)  # it has not opened its socket yet
            else:
                return
        raise ConformanceError(f"the agent of {host.name} does not start: {host.log}")

    def _attach(self, pod: PodState) -> None:
        answer = self._plugin("ADD", pod, self._pods[pod.title][0])
        given = [each["address"].partition("/")[0] for each in answer["ips"]]
        if str(pod.address) not in given:
            raise ConformanceError(f"pod {pod.title} asked for {pod.address} and got {given}")

    def _plugin(self, command: str, pod: PodState, namespace: Namespace) -> dict[str, Any]:
        host = self.hosts[self._placement.host(pod.address)]
        arguments = f"K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name};IP={pod.address}"
        environment = {
            "PATH": os.environ["PATH"],
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": namespace.name,
            "CNI_NETNS": str(namespace.path),
            "CNI_IFNAME": IFNAME,
            "CNI_ARGS": f"IgnoreUnknown=1;{arguments}",
        }
        config = {"cniVersion": "1.0.0", "name": "romana", "type": "romana"}
        done = subprocess.run(
            host.namespace.command(sys.executable, "-IS", plugin.__file__),
            input=json.dumps({**config, "socket": str(host.socket)}),
            env=environment,
            text=True,
            capture_output=True,
            check=False,
        )
        answer = msgspec.json.decode(done.stdout or b"{}", type=dict[str, Any])
        if done.returncode:
            reason = answer.get("msg") or done.stderr.strip() or f"exit {done.returncode}"
            raise ConformanceError(
                f"{command} of pod {pod.title} on {host.name}: {reason} {answer.get('details', '')}"
            )
        return answer
