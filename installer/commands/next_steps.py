"""What the operator is told after a cluster was made: how to go on, in commands to copy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from installer.cluster import Cluster

ADMIN = "/etc/kubernetes/admin.conf"
"""The administrator's kubeconfig on controllers."""


def program(called: str, which: Callable[[str], str | None] = shutil.which) -> str:
    """How to call this program again: by its name alone where the shell finds it by that.

    Args:
        called: as it was called (sys.argv[0]).
        which: finds a program.
    """
    path = Path(called)
    found = which(path.name)
    if path.name != "romana-install" or (found and Path(found).resolve() == path.resolve()):
        return "romana-install"
    return called


def kubectl(cluster: Cluster, cached: Path | None, which: Callable[[str], str | None]) -> str:
    """The operator's own kubectl; or the one of the cluster's release that lies in the cache; or,
    where that is for other machines or the API is not reached from here, the controller's.

    Args:
        cluster: whose controllers have one.
        cached: of the release that was installed, where this machine can run it.
        which: finds a program, and whether a file is one.
    """
    behind = cluster.controllers[0].ssh.bastion
    if which("kubectl") and not behind:
        return "kubectl"
    if cached is not None and which(str(cached)) and not behind:
        return str(cached)
    controller = cluster.controllers[0].name
    return f"{_command('ssh', cluster)} {controller} -- kubectl --kubeconfig {ADMIN}"


def next_steps(cluster: Cluster, cached_kubectl: Path | None) -> tuple[str, ...]:
    """Lines for the end of a run that made or changed a cluster.

    Args:
        cluster: it is up, and its kubeconfig written.
        cached_kubectl: the release's own kubectl, where this machine can run it.
    """
    steps = (
        (f"export KUBECONFIG={cluster.kubeconfig}", ""),
        (f"{kubectl(cluster, cached_kubectl, shutil.which)} get nodes", ""),
        (_command("status", cluster), "hosts, services, certificates, nodes, agents"),
        (_command("test", cluster), "the smoke test again"),
        (_command("destroy", cluster), _ended(cluster)),
    )
    width = max(len(command) for command, meaning in steps if meaning)
    lines = (f"  {command:{width}}  {meaning}".rstrip() for command, meaning in steps)
    return ("", "next:", *lines, "")


def _ended(cluster: Cluster) -> str:
    made = cluster.platform != "static"
    return "and nothing is left" if made else "forgets it here; servers are left as they are"


def _command(verb: str, cluster: Cluster) -> str:
    return f"{program(sys.argv[0])} {verb} -n {cluster.name}"
