"""What hosts have, asked of them, and what they are to have, of what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from installer.cluster import Cluster, Host
from installer.engine.parallel import over_hosts
from installer.errors import HostError
from installer.events import VersionChange
from installer.hosts.facts import Facts
from installer.hosts.session import Session
from installer.roles.network import CURRENT
from installer.roles.programs import BIN
from installer.upgrade.versions import CONTROL_PLANE, DRAINED, KUBERNETES, PACKAGED, Installed

_LIMIT_S = 30.0
_NODE = ("kubelet", "kube-proxy")
_PACKAGES = {"containerd": "containerd", "etcd-server": "etcd"}
_SCRIPT = (
    "".join(
        f"[ ! -x {BIN}/{name} ] || echo {name} $({BIN}/{name} --version 2>/dev/null)\n"
        for name in KUBERNETES
    )
    + "".join(f"echo {name} $(readlink /opt/{name}/current 2>/dev/null)\n" for name in PACKAGED)
    + f"echo romana $(readlink {CURRENT} 2>/dev/null)\n"
)


def ask(sessions: Mapping[str, Session], facts: Mapping[str, Facts]) -> Installed:
    """The versions that hosts have, as their files are; hosts that cannot be asked are missing."""
    names = [name for name in sessions if name in facts]

    def one(name: str) -> str:
        return sessions[name].run(_SCRIPT, timeout_s=_LIMIT_S).stdout

    outcomes = zip(names, over_hosts(one, names), strict=True)
    return Installed(
        hosts={
            name: {**parse(outcome), **_packages(facts[name])}
            for name, outcome in outcomes
            if not isinstance(outcome, HostError)
        }
    )


def parse(text: str) -> dict[str, str]:
    """Versions by program of the script's output: the last word of a line, or the last part of a
    path."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[-1].rpartition("/")[2] for row in rows if len(row) > 1}


def _packages(facts: Facts) -> dict[str, str]:
    return {_PACKAGES[name]: version for name, version in facts.packages if name in _PACKAGES}


def wanted(
    now: Installed,
    cluster: Cluster,
    hosts: Sequence[Host],
    kubernetes: str,
    laid: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Installed:
    """The versions that hosts will have.

    Args:
        now: what they have.
        cluster: whose inventory names versions.
        hosts: those that the run is for; others stay as they are.
        kubernetes: the version chosen.
        laid: what is laid down beside, by host and program: Romana, and programs that are brought.
    """
    found = dict(now.hosts)
    named = {"etcd": cluster.etcd, "containerd": cluster.containerd}
    for host in hosts:
        programs = KUBERNETES if host.is_controller else _NODE
        fixed = {
            name: version
            for name, version in named.items()
            if version != "auto" and (name != "etcd" or host.is_controller)
        }
        found[host.name] = {
            **now.hosts.get(host.name, {}),
            **dict.fromkeys(programs, kubernetes),
            **laid.get(host.name, {}),
            **fixed,
        }
    return Installed(hosts=found)


def changes(now: Installed, then: Installed) -> tuple[VersionChange, ...]:
    """What goes from one version to another, host by host; what a host has not had is no upgrade.
    A package's version is the wanted one where it only adds a revision."""
    order = (*CONTROL_PLANE, "containerd", *_NODE, "romana")
    return tuple(
        VersionChange(
            host=host,
            program=program,
            before=have[program],
            after=then.hosts[host][program],
            drain=program in DRAINED,
        )
        for host, have in now.hosts.items()
        for program in order
        if program in have
        and not _same(have[program], then.hosts.get(host, {}).get(program, have[program]))
    )


def _same(have: str, want: str) -> bool:
    return have == want or (have.startswith(want) and have[len(want)] in "-+~")
