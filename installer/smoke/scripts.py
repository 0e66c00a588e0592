"""The POSIX sh text that runs in the pods; busybox' tools. Pure.

The image's nc has no UDP and its wget no timeout, hence nc for TCP, and traceroute for UDP: a
single probe with a long life, which the target's kernel answers with port unreachable. Limits of
these tools are whole seconds.
"""

from __future__ import annotations

from installer.smoke.flows import Transport

DENSE_MS = 100
SPARSE_MS = 400
"""Between two attempts: of timed checks, and of all others."""
STREAM_MS = 100

PRELUDE = """\
set -f
mkdir -p /tmp/smoke && cd /tmp/smoke
tcp() { printf 'GET /cgi-bin/peer HTTP/1.0\\r\\n\\r\\n' | timeout 2 nc -w 1 "$1" "$2"; }
icmp() { ping -c 1 -W 1 "$1"; }
udp() { traceroute -n -q 1 -w 1 -f 32 -m 32 -p "$2" "$1"; }
watch() {
  tag=$1 pause=$2; shift 2; n=0
  while [ ! -e stop.$tag ]; do
    n=$((n+1)); { out=$("$@" 2>&1); echo @$tag $n $out; } & usleep $pause
  done
}
count() {
  ( n=0; while [ ! -e stop.$1 ]; do n=$((n+1)); echo $n; echo $n >>sent.$1; usleep $4; done ) |
    nc "$2" "$3" | while read -r n; do echo @$1 $n; done
}"""


def watch(tag: str, transport: Transport, address: str, port: int, pause_ms: int) -> str:
    """Attempts one after the other in the background, each told as "@TAG NUMBER OUTPUT"."""
    target = address if transport == "icmp" else f"{address} {port}"
    return f"watch {tag} {pause_ms * 1000} {transport} {target} &"


def stop(tag: str) -> str:
    """Ends the attempts, or the stream, with this tag."""
    return f": >stop.{tag}"


def count(tag: str, address: str, port: int) -> str:
    """A connection that sends a counter and tells, as "@TAG NUMBER", what the other end returns."""
    return f"count {tag} {address} {port} {STREAM_MS * 1000} &"


def sent(tag: str) -> str:
    """Prints the last number that a stream sent."""
    return f"tail -n 1 sent.{tag}"


RECEIVED = "tail -n 1 /tmp/smoke/received"
"""Prints the last number that arrived at a server."""
PROBES = "wc -l </tmp/smoke/probes"
"""Prints how many of the kubelet's probes a server has answered."""
