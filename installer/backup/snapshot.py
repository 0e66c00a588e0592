"""etcd's own snapshots: taken from a controller that runs, and put in the place of what the
controllers hold.

A snapshot ends with the sha256 of all before it (etcd clientv3/snapshot), which tells here whether
what arrived is what etcd wrote.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from installer.cluster import Cluster, Host
from installer.errors import HostError
from installer.etcd.asking import DATA
from installer.hosts.session import Session
from installer.resources.base import Payload
from installer.resources.service import Init
from installer.resources.shell import quote
from installer.roles.pki import PKI

LIMIT_S = 600.0
_SUM_BYTES = 32
_CONTENT = "romana-content"
_CLIENT = (
    "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379"
    f" --cacert={PKI}/etcd/ca.crt --cert={PKI}/etcd/healthcheck-client.crt"
    f" --key={PKI}/etcd/healthcheck-client.key"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot that is whole: its bytes, etcd's revision, and how many keys it holds."""

    content: bytes
    revision: int
    keys: int


def save(session: Session) -> Snapshot:
    """Takes a snapshot of what a controller's etcd holds.

    Raises:
        HostError: etcd does not answer, or what arrived is damaged.
    """
    output = session.run(_SAVE, timeout_s=LIMIT_S)
    described, _, encoded = output.stdout.partition(f"\n{_CONTENT}\n")
    if output.status != 0 or not encoded:
        raise HostError(
            session.host,
            f"{session.host}: etcd's snapshot failed: {output.last_lines(1)}",
            "see that etcd is healthy: romana-install status",
        )
    try:
        told = json.loads(described.strip().splitlines()[-1])
        content = gzip.decompress(base64.b64decode(encoded))
        snapshot = Snapshot(content=content, revision=told["revision"], keys=told["totalKey"])
    except (
        ValueError,
        KeyError,
        IndexError,
        OSError,
        EOFError,
        zlib.error,
        binascii.Error,
    ) as error:
        raise HostError(
            session.host, f"{session.host}: the snapshot cannot be read: {error}", "run again"
        ) from error
    if not sound(content):
        raise HostError(session.host, f"{session.host}: the snapshot is damaged", "run again")
    return snapshot


def sound(content: bytes) -> bool:
    """Whether a snapshot ends with its own sum."""
    body, told = content[:-_SUM_BYTES], content[-_SUM_BYTES:]
    return len(content) > _SUM_BYTES and hashlib.sha256(body).digest() == told


_SAVE = f"""\
set -eu
dir=$(mktemp -d {DATA}/snapshot-XXXXXXXX)
trap 'rm -rf "$dir"' EXIT
{_CLIENT} snapshot save "$dir/db" >"$dir/told" 2>&1 || {{ tail -n 3 "$dir/told" >&2; exit 1; }}
ETCDCTL_API=3 etcdctl snapshot status -w json "$dir/db"
echo
echo {_CONTENT}
gzip -1 <"$dir/db" | base64
"""


def stop(session: Session, init: Init, services: Sequence[str]) -> None:
    """Stops those of the services that run, in this order.

    Raises:
        HostError: one does not stop.
    """
    script = "set -eu\n" + "".join(
        f"state=$({init.state(name).strip()})\n"
        f'case "$state" in *" active") {init.stop(name).strip()} ;; esac\n'
        for name in services
    )
    output = session.run(script, timeout_s=LIMIT_S)
    if output.status != 0:
        raise HostError(
            session.host,
            f"{session.host}: services could not be stopped: {output.last_lines(1)}",
            "mend that and run again",
        )


def restore(session: Session, cluster: Cluster, host: Host, content: bytes, stamp: str) -> None:
    """Puts a snapshot in the place of what a controller's etcd holds. What it held stays beside it,
    under a name with the stamp. etcd must not run.

    Args:
        session: to the controller.
        cluster: for its controllers, which are etcd's members.
        host: the controller.
        content: the snapshot; etcdctl verifies it once more.
        stamp: the same for all controllers of one restoration; members of an earlier life with
            another one cannot join.

    Raises:
        HostError: it could not be done; etcd's data are as they were.
    """
    members = ",".join(f"{each.name}=https://{each.address}:2380" for each in cluster.controllers)
    script = f"""\
set -eu
new={DATA}/restoring
rm -rf "$new"
ETCDCTL_API=3 etcdctl snapshot restore etcd.db --name {quote(host.name)} \\
  --initial-cluster {quote(members)} --initial-cluster-token {quote(f"{cluster.name}-{stamp}")} \\
  --initial-advertise-peer-urls {quote(f"https://{host.address}:2380")} --data-dir "$new"
chown -R etcd:etcd "$new"
sync
[ ! -e {DATA}/member ] || mv {DATA}/member {DATA}/member.{stamp}
mv "$new/member" {DATA}/member
rm -rf "$new"
"""
    files = (Payload(name="etcd.db", content=content),)
    output = session.run(script, files=files, timeout_s=LIMIT_S)
    if output.status != 0:
        raise HostError(
            session.host,
            f"{session.host}: the snapshot could not be restored: {output.last_lines(1)}",
            "mend that and run the same command again",
            output=output.last_lines(),
        )
