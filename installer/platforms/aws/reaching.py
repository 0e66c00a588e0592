"""From instances to hosts that can be reached."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from installer.cluster import Cluster, Host
from installer.errors import HostError
from installer.events import Emit, Notice, Progress
from installer.platforms.aws import images, login, routes
from installer.platforms.aws.api import Api
from installer.platforms.aws.places import identity_of, key_of, settings_of
from installer.platforms.aws.records import Found, Seen


def attached(cluster: Cluster, seen: Seen) -> Cluster:
    """The cluster with what it takes to reach those hosts that have an instance, and with the parts
    of the pod network that are routed to each."""
    hosts = tuple(_reached(cluster, host, seen) for host in cluster.hosts)
    return replace(cluster, hosts=hosts)


def _reached(cluster: Cluster, host: Host, seen: Seen) -> Host:
    near = routes.near(cluster, host)
    found = seen.get("instance", host.name)
    if found is None:
        return replace(host, near=near)
    settings = settings_of(cluster)
    release = images.RELEASES.get(settings.image)
    user = release.user if release and host.ssh.user == "root" else host.ssh.user
    ssh = replace(
        host.ssh,
        user=user,
        key=key_of(cluster, host),
        host_key=str(found.details["host_key"]),
        address=str(found.details["public"]) if settings.access == "public" else "",
    )
    return replace(host, near=near, ssh=ssh)


def new(cluster: Cluster, seen: Seen) -> tuple[tuple[Found, Host], ...]:
    """Instances whose hosts have no key of their own yet."""
    return tuple(
        (found, host)
        for host in attached(cluster, seen).hosts
        if (found := seen.get("instance", host.name)) and not login.is_settled(found)
    )


def log_in(api: Api, cluster: Cluster, seen: Seen, emit: Emit) -> None:
    """New hosts get host keys that nobody else has seen. One that does not answer is a warning:
    the engine reports it unreachable, and the others go on."""
    todo = new(cluster, seen)
    if not todo:
        return
    what, hosts = "wait for SSH", attached(cluster, seen).hosts
    emit(Progress(what=what, done=0, total=len(todo), unit="hosts"))

    def one(pair: tuple[Found, Host]) -> HostError | None:
        found, host = pair
        known_hosts = cluster.state / "known_hosts"
        try:
            login.settle(api, found, host, hosts, identity_of(cluster, host), known_hosts)
        except HostError as error:
            return error
        return None

    with ThreadPoolExecutor(max_workers=16) as pool:
        for done, error in enumerate(pool.map(one, todo), start=1):
            if error is not None:
                emit(Notice(text=f"{error.message} ({error.advice})", level="warning"))
            emit(Progress(what=what, done=done, total=len(todo), unit="hosts"))
