"""The balancer of every host in front of the API servers, where there are several: haproxy on
loopback, passing TLS through.

A connection that a server refuses goes to the next one at once. A server that does not answer any
more (its power is gone, etcd has lost it) is found by its check, and its connections are ended, so
that clients make new ones: two failed checks, a second apart. Checks wait for an answer of
/readyz longer than etcd takes to elect a leader, which would otherwise look like the end of all
servers at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from installer.distributions import find
from installer.hosts.init import of
from installer.resources import Condition, Directory, File, Resource, Service
from installer.roles.pki import CA, KUBELET_CLIENT, authority, kubelet_files
from installer.roles.rendering import render
from installer.roles.role import Target

NAME = "haproxy"
CONFIG = "/etc/haproxy/romana.cfg"
_PROGRAM = "/usr/sbin/haproxy"
_CHECK_TLS = (1, 6)
"""The release from which on a check can speak TLS with a certificate of its own beside plain TCP,
and every retry can go to another server."""
_LOG_TO_STDERR = (1, 9)
_OPTIONS = "check inter 1s fastinter 500ms downinter 500ms fall 2 rise 1"


def balancer(target: Target) -> Iterator[Resource]:
    """Configuration and service. It is ready when it runs: servers may come later."""
    checks_tls = _release(target) >= _CHECK_TLS
    config = File(CONFIG, _config(target))
    yield Directory("/etc/haproxy")
    yield config
    yield Service(
        NAME,
        init=of(target.facts),
        description="balancer in front of the API servers",
        command=(_PROGRAM, "-db", "-f", CONFIG),
        limits=(("NOFILE", "65536"),),
        restart_on=(
            config,
            *((authority(target, "kubernetes"), *kubelet_files(target)[2:3]) if checks_tls else ()),
        ),
    )


def no_balancer(target: Target) -> Iterator[Resource]:
    """Takes the balancer away once nobody asks it: with one server again."""
    if target.cluster.balanced:
        return
    init = of(target.facts)
    unit = init.path(NAME)
    yield Condition(
        "no balancer runs in front of a single API server",
        holds=f"[ ! -e {CONFIG} ]",
        repair=f"""\
if grep -qsF {CONFIG} {unit}; then
  {init.stop(NAME).strip()}
  {init.disable(NAME).strip()}
  rm -f {unit}
fi
rm -f {CONFIG}
""",
    )


def _release(target: Target) -> tuple[int, int]:
    row = find(target.facts.os_id, target.facts.os_version)
    assert row is not None  # preflight has seen to it
    return row.haproxy


def _config(target: Target) -> str:
    release, cluster = _release(target), target.cluster
    modern = release >= _CHECK_TLS
    tls = f"check-ssl verify required ca-file {CA} crt {KUBELET_CLIENT}"
    return render(
        "balancer/haproxy.cfg",
        port=cluster.balancer_port,
        global_lines=("log stderr format raw daemon notice",) if release >= _LOG_TO_STDERR else (),
        default_lines=("log global", "option redispatch 1", "timeout check 4s")
        if modern
        else ("option redispatch",),
        # Anonymous questions are refused: the host's own identity asks.
        check_lines=("option httpchk GET /readyz", "http-check expect status 200")
        if modern
        else (),
        options=f"{_OPTIONS} {tls} on-marked-down shutdown-sessions" if modern else _OPTIONS,
        servers=tuple(
            {"name": host.name, "address": f"{host.address}:{cluster.api_port}"}
            for host in cluster.controllers
        ),
    )
