"""Finds everything of a cluster: one call for each kind, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from installer.platforms.aws.api import Api
from installer.platforms.aws.kinds import KINDS, Scope, instance, route
from installer.platforms.aws.records import NAME_TAG, Found, Ref, Seen, tagged


def survey(api: Api, scope: Scope) -> tuple[Found, ...]:
    """All objects of a cluster, those that are ending and those that are there twice included.

    Raises:
        PlatformError: AWS does not say.
    """
    with ThreadPoolExecutor(max_workers=len(KINDS)) as pool:
        found = list(pool.map(lambda kind: kind.find(api, scope), KINDS))
    objects = tuple(each for group in found for each in group)
    return (*objects, *route.of(each for each in objects if each.ref.kind == "table"))


def seen(found: Iterable[Found]) -> Seen:
    """The objects by reference. Of two that a cut connection left, one counts, always the same."""
    objects: dict[Ref, Found] = {}
    for each in sorted(found, key=lambda each: each.id):
        if each.ref.kind != "ended":
            objects.setdefault(each.ref, each)
    return Seen(objects=objects)


def ended(found: Iterable[Found]) -> dict[str, tuple[str, ...]]:
    """Ids of instances that are ending or have ended, by host."""
    by_host: dict[str, tuple[str, ...]] = {}
    for each in sorted(found, key=lambda each: each.id):
        if each.ref.kind == "ended":
            host = str(each.details["host"])
            by_host[host] = (*by_host.get(host, ()), each.id)
    return by_host


def instances(api: Api, scope: Scope) -> Seen:
    """The instances alone."""
    return seen(instance.find(api, scope))


def attachments(api: Api, scope: Scope) -> tuple[Found, ...]:
    """Volumes and interfaces that bear our tag: they go with their instance, but not always."""
    volumes = api.call("ec2", "describe_volumes", {"Filters": scope.by_tag})["Volumes"]
    interfaces = api.call("ec2", "describe_network_interfaces", {"Filters": scope.by_tag})
    return (
        *(_attachment("volume", raw["VolumeId"], tagged(raw, NAME_TAG)) for raw in volumes),
        *(
            _attachment("interface", raw["NetworkInterfaceId"], tagged(raw, NAME_TAG))
            for raw in interfaces["NetworkInterfaces"]
        ),
    )


def _attachment(kind: str, id_: str, host: str) -> Found:
    return Found(ref=Ref(kind, id_), id=id_, owned=True, fields={}, details={"host": host})
