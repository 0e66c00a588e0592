"""Asks hosts, API server and this machine's own state, all at once, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.cluster import Cluster, Host
from installer.engine.parallel import over_hosts
from installer.engine.script import Section, sections
from installer.engine.script import questions as asked
from installer.errors import HostError, InstallerError
from installer.events import Emit, Notice
from installer.hosts.session import Session
from installer.kubernetes import Api, read
from installer.support import questions
from installer.support.cleaning import Cleaner

HOST_LIMIT_S = 120.0
KEPT_LOGS = 5
_OWN = ("inventory.yml", "request.json", "journal.json", "artifacts.lock", "known_hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Texts by their names in the archive, and what could not be had, a line each."""

    texts: Mapping[str, str]
    gaps: tuple[str, ...]


def collect(cluster: Cluster, sessions: Mapping[str, Session], emit: Emit) -> Collected:
    """All that there is to see, without secrets. What cannot be asked is a gap, never an error.

    Args:
        cluster: its kubeconfig and keys are in its state directory.
        sessions: to the hosts that could be reached.
        emit: is told of each host.
    """
    cleaner = Cleaner(
        path.read_bytes() for path in cluster.state.glob("pki/**/*") if _is_secret(path)
    )
    texts: dict[str, str] = {}
    gaps = [
        f"hosts/{host.name}: no SSH connection"
        for host in cluster.hosts
        if host.name not in sessions
    ]
    reachable = [host for host in cluster.hosts if host.name in sessions]

    def one(host: Host) -> Mapping[str, Section]:
        emit(Notice(text=f"collecting from {host.name}"))
        return _host(host, sessions[host.name])

    for host, answer in zip(reachable, over_hosts(one, reachable), strict=True):
        if isinstance(answer, HostError):
            gaps.append(f"hosts/{host.name}: {answer.message}")
            continue
        for name, section in answer.items():
            path = f"hosts/{host.name}/{name}"
            texts[path] = "\n".join(filter(None, (section.text, section.errors)))
            if section.status:
                gaps.append(f"{path}: ended with {section.status}")
    objects, problems = asyncio.run(_api(cluster))
    texts |= {
        f"api/{name}.json": json.dumps(cleaner.object(each), indent=1)
        for name, each in objects.items()
    }
    texts |= _own(cluster)
    cleaned = {name: cleaner.text(text) for name, text in sorted(texts.items())}
    return Collected(texts=cleaned, gaps=(*gaps, *problems))


def _host(host: Host, session: Session) -> Mapping[str, Section]:
    wanted = questions.of_host(host)
    marker = f"romana-{secrets.token_hex(8)}"
    output = session.run(asked(list(wanted.values()), marker), timeout_s=HOST_LIMIT_S)
    found = sections(output.stdout, marker, output.stderr)
    missing = Section(text="", status=output.status or 1, errors=output.last_lines())
    return {name: found.get(number, missing) for number, name in enumerate(wanted)}


async def _api(cluster: Cluster) -> tuple[dict[str, object], list[str]]:
    """Objects by name, and what could not be had."""
    found: dict[str, object] = {}
    gaps: list[str] = []
    try:
        async with Api(read(cluster.kubeconfig)) as api:
            for name, path in {"version": "/version", **questions.API}.items():
                try:
                    found[name] = await api.get(path)
                except InstallerError as error:
                    gaps.append(f"api/{name}.json: {error.message}")
    except InstallerError as error:
        gaps.append(f"api: {error.message}")
    return found, gaps


def _own(cluster: Cluster) -> dict[str, str]:
    """What this machine keeps of the cluster: how it was asked for, and what the last runs did."""
    logs = sorted(cluster.state.glob("logs/*.log"))[-KEPT_LOGS:]
    files = [*(cluster.state / name for name in _OWN), *logs]
    return {
        f"operator/{path.relative_to(cluster.state)}": path.read_text(errors="replace")
        for path in files
        if path.is_file()
    }


def _is_secret(path: Path) -> bool:
    """Whether a file of the PKI is to be kept from others: certificates are not."""
    return path.is_file() and path.suffix != ".crt"
