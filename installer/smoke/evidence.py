"""What is shown of a failed check: enough to find the cause without running anything again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import yaml

from installer.errors import InstallerError
from installer.smoke import manifests
from installer.smoke.flows import PORT, Policy
from installer.smoke.judge import Sample
from installer.smoke.placement import Player, Probe, destination
from installer.smoke.stage import Stage

_TIMEOUT_S = 15.0
_COMMAND_S = 3
_LINES = 40


class Printed(Protocol):
    """What a script on a host printed."""

    @property
    def stdout(self) -> str:
        """Its standard output."""


class HostShell(Protocol):
    """A host on which scripts can be run; an engine's session is one."""

    def run(self, script: str, *, timeout_s: float = 60) -> Printed:
        """Runs POSIX sh text as root."""


async def gather(
    stage: Stage,
    probe: Probe,
    policies: Sequence[Policy],
    samples: Sequence[Sample],
    hosts: Mapping[str, HostShell],
) -> str:
    """The evidence on one probe, as YAML: the last attempts, policies, both pods, and from both
    hosts the routes and what the agent knows.

    Args:
        stage: names and addresses of this run.
        probe: what did not do as expected.
        policies: in force at the time.
        samples: its attempts.
        hosts: connections by the host's name; may lack some.
    """
    address, port = destination(probe, stage.addresses)
    sites = {probe.source.site.node: address, probe.target.site.node: _address(stage, probe.source)}
    asked = await asyncio.gather(
        *(_ask(hosts.get(node), script(stage, probe, far)) for node, far in sites.items())
    )
    document: dict[str, Any] = {
        "flow": str(probe),
        "dialled": f"{address}:{port}" if port else address,
        "attempts": [f"{s.answer.value}: {s.text}" for s in samples[-3:]],
        "policies": [manifests.policy(policy, stage.suffix) for policy in policies],
        "source": _pod(stage, probe.source),
        "target": _pod(stage, probe.target),
        "hosts": dict(zip(sites, asked, strict=True)),
    }
    return yaml.safe_dump(document, sort_keys=False, width=400)


def script(stage: Stage, probe: Probe, far: str) -> str:
    """What to run on a host: its route to the other end, and the agent's view. An agent that does
    not answer is evidence too, and must not hold up the rest."""
    source, target = (
        f"{stage.namespace(pod.namespace)}/{pod.name}" for pod in (probe.source, probe.target)
    )
    flow = probe.flow
    port = f" --port {flow.port}" if flow.via == "pod" else f" --port {PORT}"
    explain = f"romana explain --from {source} --to {target} --protocol {flow.transport}{port}"
    commands = [
        f"ip route get {far}",
        "ip route show proto 82",
        *([explain] if flow.port and flow.via != "host" else []),
        "romana status",
    ]
    return "\n".join(
        f"echo '# {command}'; timeout {_COMMAND_S} {command} 2>&1 | head -n {_LINES}"
        for command in commands
    )


async def _ask(host: HostShell | None, text: str) -> list[str]:
    if host is None:
        return ["no connection to this host"]
    try:
        printed = await asyncio.to_thread(host.run, text, timeout_s=_TIMEOUT_S)
    except InstallerError as error:
        return [error.message]
    return [line.rstrip() for line in printed.stdout.splitlines()]  # tables are padded


def _address(stage: Stage, pod: Player) -> str:
    return stage.addresses.pods[pod.name]


def _pod(stage: Stage, pod: Player) -> dict[str, Any]:
    return {
        "pod": f"{stage.namespace(pod.namespace)}/{pod.name}",
        "labels": manifests.labels(pod, stage.suffix),
        "address": _address(stage, pod),
        "host": f"{pod.site.node} ({pod.site.address})",
    }
