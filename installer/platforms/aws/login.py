"""The first connection to new hosts: verified, and then with a host key that nobody else has seen.

A host that was given its key makes another one at once, since what was delivered can be read in its
user data. Each step may be the last one of a run: what is pinned is always on the host, or about to
be and announced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from paramiko import BadHostKeyException

from installer.cluster import Host
from installer.errors import CommandFailed, Unreachable
from installer.hosts.connection import Connection, connect, ways
from installer.platforms.aws import identities
from installer.platforms.aws.api import Api
from installer.platforms.aws.identities import DELIVERED
from installer.platforms.aws.records import HOST_KEY_TAG, NEXT_KEY_TAG, Found

_NEW = "/etc/ssh/romana_new_host_key"
_PREPARE = f"""
set -eu
if [ ! -s {_NEW}.pub ]; then
    rm -f {_NEW} {_NEW}.pub
    ssh-keygen -q -t KIND -N '' -C '' -f {_NEW}
fi
cut -d' ' -f1,2 {_NEW}.pub
"""
_ACTIVATE = f"""
set -eu
if [ -f {_NEW} ]; then
    for end in '' .pub; do
        cp -p {_NEW}$end /etc/ssh/.romana$end
        mv -f /etc/ssh/.romana$end /etc/ssh/ssh_host_KIND_key$end
    done
fi
pid=$(cat /run/sshd.pid /var/run/sshd.pid 2>/dev/null | head -n 1)
[ -n "$pid" ] && kill -HUP "$pid"
"""
_CLEAN = f"rm -f {_NEW} {_NEW}.pub\n"


def is_settled(found: Found) -> bool:
    """Whether a host has a key of its own that is pinned."""
    key = str(found.details["host_key"])
    return bool(key) and not key.endswith(DELIVERED) and not found.details["next_key"]


def settle(
    api: Api, found: Found, host: Host, hosts: Sequence[Host], identity: Path, known_hosts: Path
) -> None:
    """Waits until a new host answers with the key that is expected, and has it replaced.

    Args:
        api: where its tags are.
        found: the instance.
        host: how it is reached.
        hosts: that may serve as bastion.
        identity: the file of the key that was delivered.
        known_hosts: the cluster's.

    Raises:
        Unreachable: it does not answer in time, or shows another key.
        PlatformError: its tags cannot be set, or its console output cannot be read.
    """
    key = str(found.details["host_key"]) or _from_console(api, found, host)
    following = str(found.details["next_key"])
    pinned = [
        replace(host, ssh=replace(host.ssh, host_key=each)) for each in (following, key) if each
    ]
    with contextlib.ExitStack() as stack:
        index, session = _connected(api, pinned, hosts, known_hosts, stack)
        shown = pinned[index].ssh.host_key
        if shown == key and key.endswith(DELIVERED):
            following = _replace(api, found, session, shown)
    if following:
        sure = replace(host, ssh=replace(host.ssh, host_key=following))
        _pin(api, found, sure, hosts, known_hosts)
    identity.unlink(missing_ok=True)


def _from_console(api: Api, found: Found, host: Host) -> str:
    """The key that the host has printed; AWS shows the console late."""
    pause = api.pace.pauses(api.pace.running_s)
    while True:
        arguments = {"InstanceId": found.id, "Latest": True}
        text = api.call("ec2", "get_console_output", arguments).get("Output", "")
        if key := identities.from_console(text):
            _tag(api, found, HOST_KEY_TAG, key)
            return key
        if not pause():
            raise Unreachable(
                host.name,
                f"{host.name}: its console shows no host key ({found.id})",
                "Latest output needs a Nitro instance type; or use host_keys: generated",
            )


def _connected(
    api: Api,
    pinned: Sequence[Host],
    hosts: Sequence[Host],
    known_hosts: Path,
    stack: contextlib.ExitStack,
) -> tuple[int, Connection]:
    """The first of these that connects, tried until the host is up; `stack` ends the connection."""
    pause = api.pace.pauses(api.pace.running_s)
    patience = api.pace.pauses(api.pace.visible_s)
    while True:
        for index, host in enumerate(pinned):
            bastions = ways(hosts, known_hosts)
            try:
                session = connect(host, known_hosts, bastions=bastions)
            except Unreachable as error:
                bastions.close()
                last = error
                continue
            stack.callback(bastions.close)
            stack.callback(session.close)
            return index, session
        # sshd listens once cloud-init has given it its key; another key will not go away.
        wrong = isinstance(last.__cause__, BadHostKeyException)
        if not (patience() if wrong else pause()):
            raise last


def _replace(api: Api, found: Found, session: Connection, shown: str) -> str:
    """Has the host make a key, announces it, and has sshd use it. Returns its public line."""
    kind = "ecdsa" if shown.startswith("ecdsa") else "ed25519"
    made = session.run(_PREPARE.replace("KIND", kind))
    key = made.stdout.strip()
    if made.status or not key.startswith(shown.split()[0]):
        raise CommandFailed(
            session.host, f"{session.host}: cannot make a host key", "", made.last_lines(5)
        )
    _tag(api, found, NEXT_KEY_TAG, key)
    done = session.run(_ACTIVATE.replace("KIND", kind))
    if done.status:
        raise CommandFailed(
            session.host,
            f"{session.host}: sshd does not take its new host key",
            "run the same command again",
            done.last_lines(5),
        )
    return key


def _pin(api: Api, found: Found, host: Host, hosts: Sequence[Host], known_hosts: Path) -> None:
    """Makes sure that the host shows its new key, and pins that alone."""
    with contextlib.ExitStack() as stack:
        _, session = _connected(api, [host], hosts, known_hosts, stack)
        _tag(api, found, HOST_KEY_TAG, host.ssh.host_key)
        which = {"Resources": [found.id], "Tags": [{"Key": NEXT_KEY_TAG}]}
        api.call("ec2", "delete_tags", which)
        session.run(_CLEAN)


def _tag(api: Api, found: Found, key: str, value: str) -> None:
    tags = [{"Key": key, "Value": value}]
    api.call("ec2", "create_tags", {"Resources": [found.id], "Tags": tags})
