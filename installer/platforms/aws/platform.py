"""AWS as the engine sees it.

    platform = Aws()
    platform.plan(cluster)                       # what would be made, and what it costs
    cluster = platform.provision(cluster, emit)  # makes it, and waits until hosts answer SSH
    platform.destroy(cluster, emit)              # and nothing is left

What `plan` has found is what `provision` of the same value starts from, so that what was agreed to
is what is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from installer.cluster import Cluster
from installer.errors import PlatformError
from installer.events import Emit, Notice, Progress
from installer.platforms.answering import answering
from installer.platforms.aws import (
    address,
    identities,
    images,
    listing,
    permissions,
    quotas,
    reaching,
    removal,
    routes,
    survey,
)
from installer.platforms.aws.api import Api, Pace
from installer.platforms.aws.difference import Change, difference
from installer.platforms.aws.difference import removal as removed
from installer.platforms.aws.kinds.key import material
from installer.platforms.aws.places import identity_of, key_of, scope_of, settings_of
from installer.platforms.aws.records import Found, Seen
from installer.platforms.aws.render import carry_out
from installer.platforms.aws.wanted import Given, instance_type, wanted
from installer.platforms.keys import ensure_key, public_line


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
            settings = settings_of(cluster)
            self._api = Api(region=settings.region, profile=settings.profile, pace=self._pace)
        return self._api

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """What `provision` would do and what it costs. See Platform."""
        picture = self._look(cluster)
        permissions.require(self.api(cluster), picture.changes, picture.seen.ids)
        self._planned = (cluster, picture)
        image = next((each.name for each in picture.given.images.values()), "")
        lines = listing.lines(cluster, settings_of(cluster), picture.changes, picture.seen, image)
        todo = reaching.new(cluster, picture.seen)
        return (*lines, *(f"verify and replace the host key of {host.name}" for _, host in todo))

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster with addresses, key and host keys of the instances that exist."""
        seen = survey.instances(self.api(cluster), scope_of(cluster))
        return reaching.attached(cluster, seen)

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Make what is missing, change what differs, and wait until new hosts answer SSH."""
        planned, self._planned = self._planned, None
        picture = planned[1] if planned and planned[0] == cluster else self._look(cluster)
        for text in listing.notes(cluster, picture.changes, picture.seen):
            emit(Notice(text=text, level="warning"))
        if picture.changes:
            picture = self._make(cluster, picture, emit)
        if not reaching.new(cluster, picture.seen):
            return reaching.attached(cluster, picture.seen)
        reaching.log_in(self.api(cluster), cluster, picture.seen, emit)
        return self.attach(cluster)  # with the keys that hosts have now

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """Nothing: hosts are reached from here."""
        return ()

    def publish(self, cluster: Cluster) -> str:
        """The URL of an API server that answers, or of the operator's own balancer."""
        if cluster.api_endpoint:
            return cluster.api_endpoint
        first = cluster.controllers[0]
        if not first.ssh.address and settings_of(cluster).access == "public":
            cluster = self.attach(cluster)
        host = answering(cluster, address=lambda host: host.login)
        return f"https://{host.login}:{cluster.api_port}"

    def destroy(self, cluster: Cluster, emit: Emit) -> None:
        """Remove all that is ours, and look for what is left."""
        api, scope = self.api(cluster), scope_of(cluster)
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
        found = survey.survey(self.api(cluster), scope_of(cluster))
        given = self._given(cluster, survey.seen(found))
        return self._compared(cluster, found, given)

    def _compared(self, cluster: Cluster, found: tuple[Found, ...], given: Given) -> Picture:
        settings, seen = settings_of(cluster), survey.seen(found)
        records = wanted(cluster, settings, seen, given)
        changes = difference(records, seen, scope_of(cluster))
        interfaces = frozenset(str(each.details["interface"]) for each in seen.of("instance"))
        swept = routes.surplus(records, seen.of("route"), cluster.network.pods, interfaces)
        changes = (*changes, *removed(swept, seen))
        permissions.require_allowed(settings, changes, seen)
        return Picture(found=found, seen=seen, given=given, changes=changes)

    def _given(self, cluster: Cluster, seen: Seen) -> Given:
        api, settings = self.api(cluster), settings_of(cluster)
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
        path = key_of(cluster)
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
            emit(listing.result(change))
            emit(Progress(what="make it in AWS", done=done, total=total, unit="objects"))

        carry_out(api, picture.changes, picture.seen.ids, told)
        return self._settled(cluster, given)

    def _identified(self, cluster: Cluster, picture: Picture) -> Given:
        """With keys for what is to be launched: written before the first launch."""
        settings, given = settings_of(cluster), picture.given
        if not key_of(cluster).exists():
            given = replace(given, public_key=material(ensure_key(key_of(cluster))))
        image = next(iter(given.images.values()), None)
        ended = survey.ended(picture.found)
        made = {}
        for host in cluster.hosts:
            if image is not None and picture.seen.get("instance", host.name) is None:
                identity = identities.ensure(
                    identity_of(cluster, host),
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
            found = survey.survey(api, scope_of(cluster))
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
