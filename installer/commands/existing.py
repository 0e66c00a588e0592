"""The verbs for a cluster that exists: test, status, kubeconfig, ssh, destroy."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from installer import pki, platforms
from installer.cluster import Bastion, Cluster, Host
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.commands.converge import kubeconfig_of, write_kubeconfig
from installer.commands.preparing import connected
from installer.commands.reporting import Reporting, utc
from installer.engine import lock
from installer.errors import InstallerError
from installer.events import Notice, Recap
from installer.hosts.keys import OWN
from installer.pki.certificates import expires, utc_now
from installer.status import ClusterStatus
from installer.status import status as cluster_status


def test(wish: Wish, reporting: Reporting) -> int:
    """The smoke test, once more.

    Raises:
        SmokeFailed: a check failed.
    """
    from installer.smoke.runner import run as smoke_test  # not for the other verbs to import

    started = time.monotonic()
    kubeconfig(wish)
    cluster = platforms.of(found := clusters.known(wish)).attach(found)
    with connected(cluster, cluster.hosts, reporting.emit) as sessions:
        smoke_test(cluster, sessions, reporting.emit)
    reporting.emit(Recap(hosts=(), seconds=time.monotonic() - started))
    return 0


def status(wish: Wish) -> ClusterStatus:
    """How the cluster is: hosts, services, nodes, agents, certificates. What cannot be asked is
    part of the answer."""
    cluster = platforms.of(found := clusters.known(wish)).attach(found)
    if pki.exists(cluster):
        kubeconfig(wish)
    with connected(cluster, cluster.hosts, lambda _: None) as sessions:
        seen = cluster_status(cluster, sessions)
    if cluster.kubeconfig.exists():
        return seen
    finish = f"romana-install {cluster.platform} -n {cluster.name}"
    return replace(seen, api_problem=f"not installed completely yet; finish it: {finish}")


def kubeconfig(wish: Wish) -> Path:
    """The operator's kubeconfig, and the API server published where it says."""
    cluster = clusters.known(wish)
    if not pki.exists(cluster):
        raise InstallerError(
            f"cluster {cluster.name} has no certificates yet",
            f"finish its installation: romana-install {cluster.platform} -n {cluster.name}",
        )
    return write_kubeconfig(cluster, pki.ensure(cluster), platforms.of(cluster).publish(cluster))


def limited_kubeconfig(wish: Wish, life: timedelta) -> tuple[str, datetime]:
    """A kubeconfig to hand out, whose identity ends by itself: nothing else takes it back but other
    authorities. Its text, and when it ends."""
    cluster = clusters.known(wish)
    kubeconfig(wish)
    credentials = pki.ensure(cluster)
    identity = pki.operator(credentials, life, utc_now())
    server = platforms.of(cluster).publish(cluster)
    text = kubeconfig_of(cluster, credentials, server, identity)
    return text, expires(identity.certificate)


def ssh(wish: Wish, name: str, command: tuple[str, ...]) -> NoReturn:
    """Replaces this process by OpenSSH, logged in on a host, with the host key pinned.

    Args:
        wish: which cluster.
        name: of the host.
        command: to run instead of a shell.
    """
    cluster = clusters.known(wish)
    platform = platforms.of(cluster)
    cluster = platform.attach(cluster)
    words = [*platform.inside(cluster), *openssh(cluster, name), *command]
    os.execvp(words[0], words)  # noqa: S606 (no shell: that is the point)


def openssh(cluster: Cluster, name: str) -> list[str]:
    """OpenSSH's command line for a host, with a configuration of all hosts written for it."""
    clusters.host_named(cluster, name)
    directory = cluster.state / "ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    hosts: tuple[Host | Bastion, ...] = (*cluster.hosts, *cluster.bastions)
    pinned = [f"{host.name} {host.ssh.host_key}\n" for host in hosts if host.ssh.host_key]
    (directory / "known_hosts").write_text("".join(pinned))
    config = directory / "config"
    config.write_text("".join(_stanza(cluster, host) for host in hosts))
    return ["ssh", "-F", str(config), name]


def _stanza(cluster: Cluster, host: Host | Bastion) -> str:
    """One host of an ssh_config(5). A key pinned by the inventory goes by the host's name; others
    are looked for where `keys.pinned` does."""
    files = (cluster.state / "known_hosts", OWN[0].expanduser())
    known = (cluster.state / "ssh/known_hosts",) if host.ssh.host_key else files
    quoted = " ".join(f'"{path}"' for path in known)
    lines = [
        f"HostName {host.login}",
        f"Port {host.ssh.port}",
        f"User {host.ssh.user}",
        f"UserKnownHostsFile {quoted}",
        "StrictHostKeyChecking yes",
        *([f"HostKeyAlias {host.name}"] if host.ssh.host_key else []),
        *([f'IdentityFile "{host.ssh.key}"', "IdentitiesOnly yes"] if host.ssh.key else []),
        *([f"ProxyJump {host.ssh.bastion}"] if host.ssh.bastion else []),
    ]
    return f"Host {host.name}\n" + "".join(f"  {line}\n" for line in lines)


def destroy(wish: Wish, confirm: Callable[[str], bool], reporting: Reporting) -> int:
    """Removes a cluster's hosts, where the platform made them, and its state. What a run that was
    killed early left is removed as well."""
    started = time.monotonic()
    try:
        cluster = clusters.known(wish)
    except InstallerError:
        cluster = clusters.wanted(clusters.platform_of(wish), wish)[0].cluster
        if not cluster.state.exists() and not platforms.in_cloud(cluster):
            raise
    count = f"{len(cluster.hosts)} hosts"
    question = f"Destroy cluster {cluster.name} with {count}?"
    if cluster.platform == "static":
        question = f"Forget cluster {cluster.name}? Its {count} are left as they are."
    if not confirm(question):
        raise InstallerError("nothing was destroyed", "answer y, or give --yes")
    cluster.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.exclusive(cluster.state / "lock", reporting.command, utc()):
        platforms.of(cluster).destroy(cluster, reporting.emit)
        shutil.rmtree(cluster.state)
    gone = "is forgotten here" if cluster.platform == "static" else "is gone"
    reporting.emit(Notice(text=f"cluster {cluster.name} {gone}"))
    reporting.emit(Recap(hosts=(), seconds=time.monotonic() - started))
    return 0
