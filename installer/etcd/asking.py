"""What etcd on a controller says of its members: sh text that asks, and a pure reader of the
answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

from installer.etcd.membership import Member, Seen

DATA = "/var/lib/etcd"
TOLD = f"{DATA}/romana-begin"
"""How the member begins, for its first start: sh assignments below a line that says why."""
PKI = "/etc/kubernetes/pki"
CLIENT_PORT = 2379
PEER_PORT = 2380
_CERTIFICATES = (
    f"--cacert={PKI}/etcd/ca.crt --cert={PKI}/etcd/healthcheck-client.crt"
    f" --key={PKI}/etcd/healthcheck-client.key"
)


def peer(address: IPv4Address) -> str:
    """Where other members reach the one at an address."""
    return f"https://{address}:{PEER_PORT}"


def client(address: IPv4Address | str) -> str:
    """Where clients reach the member at an address."""
    return f"https://{address}:{CLIENT_PORT}"


def etcdctl(*endpoints: str, limit_s: int = 5) -> str:
    """The beginning of an etcdctl command.

    Args:
        endpoints: client URLs.
        limit_s: for an answer. One that refuses connections is waited for as long.
    """
    return (
        f"ETCDCTL_API=3 etcdctl --endpoints={','.join(endpoints)} --dial-timeout={limit_s}s"
        f" --command-timeout={limit_s}s {_CERTIFICATES}"
    )


def each_in_turn(endpoints: Sequence[str]) -> str:
    """Sh text of a function `ctl`: an etcdctl that asks one member after the other until one
    answers; a learner refuses most questions."""
    return (
        f"ctl() {{ for each in {' '.join(endpoints)}; do\n"
        f'{etcdctl("$each", limit_s=3)} "$@" && return 0\n'
        "done; return 1; }\n"
    )


def script() -> str:
    """Prints what `read` reads; changes nothing, and asks etcd only where there is one."""
    local = client("127.0.0.1")
    health = (
        "curl -fsS --noproxy '*' --max-time 5 --cacert {0}/ca.crt --cert "
        "{0}/healthcheck-client.crt --key {0}/healthcheck-client.key {1}/health"
    ).format(f"{PKI}/etcd", local)
    # With --cluster, members that are dead are waited for as long as the limit.
    return f"""\
[ ! -f {TOLD} ] || echo "told $(sed -n '1s/^# //p' {TOLD})"
if [ -d {DATA}/member ]; then
  echo 'data yes'
  echo "health $({health} 2>/dev/null || :)"
  echo "members $({etcdctl(local, limit_s=5)} member list -w json 2>/dev/null || :)"
  echo "alive $({etcdctl(local, limit_s=3)} endpoint health --cluster -w json 2>/dev/null || :)"
fi
"""


def read(output: str) -> Seen:
    """A controller's state from what the script printed. What etcd has not answered is left out."""
    said = dict(line.partition(" ")[::2] for line in output.splitlines())
    alive = {each["endpoint"] for each in _json(said.get("alive", "")) or () if each["health"]}
    listed = (_json(said.get("members", "")) or {}).get("members") or ()
    return Seen(
        data=said.get("data") == "yes",
        told=said.get("told", "").strip(),
        healthy='"health":"true"' in said.get("health", "") and bool(listed),
        members=tuple(_member(each, alive) for each in listed),
    )


def _member(entry: Any, alive: set[str]) -> Member:
    return Member(
        id=f"{entry['ID']:x}",
        name=entry.get("name", ""),
        peer=entry["peerURLs"][0],
        votes=not entry.get("isLearner", False),
        alive=bool(alive & set(entry.get("clientURLs") or ())),
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
