"""AWS as the engine sees it.

    platform = Aws()
    platform.plan(cluster)                       # what would be made, and what it costs
    cluster = platform.provision(cluster, emit)  # makes it, and waits until hosts answer SSH
    platform.destroy(cluster, emit)              # and nothing is left

What `plan` has found is what `provision` of the same value starts from, so that what was agreed to
is what is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from installer.cluster import Cluster, Host
from installer.errors import HostError, PlatformError
from installer.events import Emit, Notice, Progress, ResourceResult
from installer.inventory import aws as inventory
from installer.platforms.aws import (
    address,
    identities,
    images,
    listing,
    login,
    permissions,
    quotas,
    removal,
    routes,
    survey,
)
from installer.platforms.aws.api import Api, Pace
from installer.platforms.aws.difference import Change, difference
from installer.platforms.aws.difference import removal as removed
from installer.platforms.aws.kinds import Scope
from installer.platforms.aws.kinds.key import material
from installer.platforms.aws.records import Found, Seen
from installer.platforms.aws.render import carry_out
from installer.platforms.aws.wanted import Given, instance_type, wanted
from installer.platforms.keys import ensure_key, public_line

WHERE = "aws"
"""How the cloud is called where otherwise a host's name stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What was found, what is wanted, and how they differ."""

    found: tuple[Found, ...]
    seen: Seen
    given: Given
    changes: tuple[Change, ...]


class Aws:
    """Hosts on AWS.

    Args:
        pace: of retries and waiting.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._api: Api | None = None
        self._planned: tuple[Cluster, Picture] | None = None

    def api(self, cluster: Cluster) -> Api:
        """The connection to AWS; counts its calls."""
        if self._api is None:
            settings = _settings(cluster)
            self._api = Api(region=settings.region, profile=settings.profile, pace=self._pace)
        return self._api

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """What `provision` would do and what it costs. See Platform."""
        picture = self._look(cluster)
        self._require_permitted(cluster, picture)
        self._planned = (cluster, picture)
        image = next((each.name for each in picture.given.images.values()), "")
        lines = listing.lines(cluster, _settings(cluster), picture.changes, picture.seen, image)
        return (*lines, *_unsettled(picture.seen, cluster))

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster with addresses, key and host keys of the instances that exist."""
        seen = survey.instances(self.api(cluster), _scope(cluster))
        return self._attached(cluster, seen)

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Make what is missing, change what differs, and wait until new hosts answer SSH."""
        planned, self._planned = self._planned, None
        picture = planned[1] if planned and planned[0] == cluster else self._look(cluster)
        self._note(cluster, picture, emit)
        if picture.changes:
            picture = self._make(cluster, picture, emit)
        self._log_in(cluster, picture.seen, emit)
        return self.attach(cluster)

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """Nothing: hosts are reached from here."""
        return ()

    def publish(self, cluster: Cluster) -> str:
        """The API server's URL, at the first controller's address."""
        first = cluster.controllers[0]
        if not first.ssh.address and _settings(cluster).access == "public":
            first = self.attach(cluster).controllers[0]
        return f"https://{first.ssh.address or first.address}:{cluster.api_port}"

    def destroy(self, cluster: Cluster, emit: Emit) -> None:
        """Remove all that is ours, and look for what is left."""
        api, scope = self.api(cluster), _scope(cluster)
        most = 0

        def told(what: str, left: int) -> None:
            nonlocal most
            most = max(most, left)
            emit(Progress(what=what, done=most - left, total=most, unit="objects"))

        shared = removal.remove(api, scope, cluster.network.pods, told)
        if most:
            emit(Progress(what="remove what AWS holds", done=most, total=most, unit="objects"))
        emit(Notice(text=f"aws: {most} objects of {cluster.name} removed, none is left"))
        for each in shared:
            emit(Notice(text=f"aws: {each} is not ours and was left as it is"))

    def _look(self, cluster: Cluster) -> Picture:
        """Finds everything and compares it."""
        found = survey.survey(self.api(cluster), _scope(cluster))
        given = self._given(cluster, survey.seen(found))
        return self._compared(cluster, found, given)

    def _compared(self, cluster: Cluster, found: tuple[Found, ...], given: Given) -> Picture:
        settings, seen = _settings(cluster), survey.seen(found)
        records = wanted(cluster, settings, seen, given)
        changes = difference(records, seen, _scope(cluster))
        interfaces = frozenset(str(each.details["interface"]) for each in seen.of("instance"))
        swept = routes.surplus(records, seen.of("route"), cluster.network.pods, interfaces)
        changes = (*changes, *removed(swept, seen))
        _require_allowed(settings, changes, seen)
        return Picture(found=found, seen=seen, given=given, changes=changes)

    def _given(self, cluster: Cluster, seen: Seen) -> Given:
        api, settings = self.api(cluster), _settings(cluster)
        new = [host for host in cluster.hosts if seen.get("instance", host.name) is None]
        kinds = {images.architecture(instance_type(host)) for host in cluster.hosts}
        if len(kinds) > 1:
            raise PlatformError(
                "aws: hosts of two processor architectures cannot make one cluster",
                "choose instance types of one: t3 and t4g differ",
            )
        return Given(
            public_key=self._public_key(cluster, seen),
            sources=settings.ssh_from or (address.own(),),
            quota=quotas.routes_per_table(api) if len(settings.subnets) > 1 else 0,
            images={kind: images.find(api, settings.image, kind) for kind in kinds} if new else {},
        )

    def _public_key(self, cluster: Cluster, seen: Seen) -> str:
        """The public half of the key that logs in: the inventory's, or the cluster's own."""
        path = _key(cluster)
        if path.exists():
            return material(public_line(path))
        found = seen.get("key")
        if found is None:
            return "a new key"
        raise PlatformError(
            f"aws: the key that the hosts of {cluster.name} know is not here: {path}",
            "put it back; a key of your own (vars.key) does not depend on this directory",
        )

    def _make(self, cluster: Cluster, picture: Picture, emit: Emit) -> Picture:
        """Carries the changes out, and looks again: what still differs is a failure."""
        api, given = self.api(cluster), self._identified(cluster, picture)
        picture = self._compared(cluster, picture.found, given)
        total, done = len(picture.changes), 0

        def told(change: Change) -> None:
            nonlocal done
            done += 1
            emit(_result(change))
            emit(Progress(what="make it in AWS", done=done, total=total, unit="objects"))

        carry_out(api, picture.changes, picture.seen.ids, told)
        return self._settled(cluster, given)

    def _identified(self, cluster: Cluster, picture: Picture) -> Given:
        """With keys for what is to be launched: written before the first launch."""
        settings, given = _settings(cluster), picture.given
        if not _key(cluster).exists():
            given = replace(given, public_key=material(ensure_key(_key(cluster))))
        image = next(iter(given.images.values()), None)
        ended = survey.ended(picture.found)
        made = {}
        for host in cluster.hosts:
            if image is not None and picture.seen.get("instance", host.name) is None:
                identity = identities.ensure(
                    _identity(cluster, host),
                    host.name,
                    image.host_key,
                    delivered=settings.host_keys == "generated",
                )
                nonce = " ".join((identity.nonce, *ended.get(host.name, ())))
                made[host.name] = replace(identity, nonce=nonce)
        return replace(given, identities=made)

    def _settled(self, cluster: Cluster, given: Given) -> Picture:
        """Looks until everything is seen to be as it should, and instances run."""
        api = self.api(cluster)
        pause = api.pace.pauses(api.pace.running_s)
        while True:
            found = survey.survey(api, _scope(cluster))
            picture = self._compared(cluster, found, given)
            starting = [
                each.ref.name
                for each in picture.seen.of("instance")
                if each.details["state"] != "running"
            ]
            if not picture.changes and not starting:
                return picture
            if not pause():
                what = [f"{change.ref} still differs" for change in picture.changes]
                what += [f"instance {name} does not run yet" for name in starting]
                raise PlatformError(f"aws: {'; '.join(what)}", "run the same command again")

    def _log_in(self, cluster: Cluster, seen: Seen, emit: Emit) -> None:
        """New hosts get host keys that nobody else has seen. One that does not answer is a warning:
        the engine reports it unreachable, and the others go on."""
        attached = self._attached(cluster, seen)
        new = [
            (each, host)
            for host in attached.hosts
            if (each := seen.get("instance", host.name)) and not login.is_settled(each)
        ]
        if not new:
            return
        what, known_hosts = "wait for SSH", cluster.state / "known_hosts"
        emit(Progress(what=what, done=0, total=len(new), unit="hosts"))

        def one(pair: tuple[Found, Host]) -> HostError | None:
            found, host = pair
            identity = _identity(cluster, host)
            try:
                login.settle(self.api(cluster), found, host, attached.hosts, identity, known_hosts)
            except HostError as error:
                return error
            return None

        with ThreadPoolExecutor(max_workers=16) as pool:
            for done, error in enumerate(pool.map(one, new), start=1):
                if error is not None:
                    emit(Notice(text=f"{error.message} ({error.advice})", level="warning"))
                emit(Progress(what=what, done=done, total=len(new), unit="hosts"))

    def _attached(self, cluster: Cluster, seen: Seen) -> Cluster:
        hosts = tuple(_reached(cluster, host, seen) for host in cluster.hosts)
        return replace(cluster, hosts=hosts)

    def _note(self, cluster: Cluster, picture: Picture, emit: Emit) -> None:
        for text in _notes(cluster, picture):
            emit(Notice(text=text, level="warning"))

    def _require_permitted(self, cluster: Cluster, picture: Picture) -> None:
        lacking = permissions.missing(self.api(cluster), picture.changes, picture.seen.ids)
        if lacking:
            names = ", ".join(sorted({error.missing for error in lacking}))
            raise PlatformError(
                f"aws: not permitted: {names}; nothing was made",
                "add what is missing to the policy; docs/aws.md lists all that is needed",
            )


def _require_allowed(settings: inventory.Aws, changes: Sequence[Change], seen: Seen) -> None:
    """Routes of others' tables are changed only where that is allowed."""
    ours = {each.ref.name for each in seen.of("table") if each.owned} | {""}
    foreign = [
        change
        for change in changes
        if change.ref.kind == "route" and change.ref.name.rpartition(" ")[0] not in ours
    ]
    if foreign and not settings.change_routes:
        routes_ = "; ".join(
            f"{change.ref} -> {change.fields[-1].after or 'nothing'}" for change in foreign
        )
        raise PlatformError(
            f"aws: {len(foreign)} routes are needed in route tables that are not ours: {routes_}",
            "allow it (aws.change_routes: true), or have them set",
        )


def _notes(cluster: Cluster, picture: Picture) -> tuple[str, ...]:
    """What the operator should know: instances of nobody, and others' routes into the pods."""
    known = {host.name for host in cluster.hosts}
    strangers = [
        f"host {each.ref.name} ({each.id}) is not in the inventory any more; left as it is, and "
        "paid for"
        for each in picture.seen.of("instance")
        if each.ref.name not in known
    ]
    ours = {change.ref for change in picture.changes}
    interfaces = {str(each.details["interface"]) for each in picture.seen.of("instance")}
    foreign = [
        f"{each.ref} leads to {each.id}, which is not of this cluster; kept"
        for each in picture.seen.of("route")
        if each.ref not in ours
        and each.id not in interfaces
        and routes.within(each, cluster.network.pods)
    ]
    return (*strangers, *foreign)


def _reached(cluster: Cluster, host: Host, seen: Seen) -> Host:
    near = routes.near(cluster, host)
    found = seen.get("instance", host.name)
    if found is None:
        return replace(host, near=near)
    settings = _settings(cluster)
    release = images.RELEASES.get(settings.image)
    user = release.user if release and host.ssh.user == "root" else host.ssh.user
    ssh = replace(
        host.ssh,
        user=user,
        key=_key(cluster, host),
        host_key=str(found.details["host_key"]),
        address=str(found.details["public"]) if settings.access == "public" else "",
    )
    return replace(host, near=near, ssh=ssh)


def _unsettled(seen: Seen, cluster: Cluster) -> tuple[str, ...]:
    return tuple(
        f"verify the host key of {each.ref.name}, and replace it"
        for each in seen.of("instance")
        if any(host.name == each.ref.name for host in cluster.hosts) and not login.is_settled(each)
    )


def _result(change: Change) -> ResourceResult:
    return ResourceResult(
        host=WHERE,
        role="cloud",
        resource=str(change.ref),
        outcome="changed",
        before="; ".join(field.before for field in change.fields if field.before) or "absent",
        after="; ".join(field.after for field in change.fields if field.after) or "absent",
        diff="\n".join(listing.diff(change)),
    )


def _settings(cluster: Cluster) -> inventory.Aws:
    assert isinstance(cluster.section, inventory.Aws)
    return cluster.section


def _scope(cluster: Cluster) -> Scope:
    return Scope(cluster=cluster.name, settings=_settings(cluster))


def _key(cluster: Cluster, host: Host | None = None) -> Path:
    """The private key that logs in: the inventory's, or one of the cluster's own."""
    given = (host or cluster.hosts[0]).ssh.key
    return given or cluster.state / "aws" / "id_ed25519"


def _identity(cluster: Cluster, host: Host) -> Path:
    return cluster.state / "aws" / "hosts" / host.name
