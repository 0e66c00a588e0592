"""Takes a cluster's objects away, in the order of their dependencies, and looks for what is left.

AWS lets go of things late: an interface minutes after its instance, a group after the interface.
So everything is tried again until nothing is left, or time is up; then what is left is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network

from installer.errors import PlatformError
from installer.platforms.aws import routes
from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.errors import CloudError, is_absence
from installer.platforms.aws.kinds import BY_NAME, KINDS, Scope
from installer.platforms.aws.records import Found
from installer.platforms.aws.survey import attachments, seen, survey

IN_USE = frozenset({
    "DependencyViolation", "InvalidGroup.InUse", "InvalidNetworkInterface.InUse",
    "InvalidParameterValue", "VolumeInUse", "DeleteConflict", "IncorrectState",
    "IncorrectInstanceState", "CannotDelete",
})  # fmt: skip
"""Something that is going away still holds it."""
_ORDER = {kind.name: -number for number, kind in enumerate(KINDS)}
"""Routes before tables, instances before what they use."""
_EXTRA = {
    "volume": ("delete_volume", "VolumeId"),
    "interface": ("delete_network_interface", "NetworkInterfaceId"),
}
Told = Callable[[str, int], None]
"""Told what is being waited for, and how much is still there."""


def remove(api: Api, scope: Scope, pods: IPv4Network, told: Told) -> tuple[str, ...]:
    """Removes all that is ours. May be cut anywhere, and run again.

    Args:
        api: where.
        scope: whose.
        pods: the pod network: routes into it, in tables of others, that lead to our hosts or
            nowhere any more, are ours.
        told: progress.

    Returns:
        What bears the cluster's tag and is not ours (`shared`), and so was left.

    Raises:
        PlatformError: something of ours is left; names it.
    """
    pause, before = api.pace.pauses(api.pace.released_s), 0
    waited = False
    reasons: list[str] = []
    while True:
        found = (*survey(api, scope), *attachments(api, scope))
        ours, shared = _ours(found, pods), _shared(found)
        if not ours:
            return shared
        if len(ours) != before:  # it goes on: the bound is for standing still
            pause, before = api.pace.pauses(api.pace.released_s), len(ours)
        elif waited:
            raise PlatformError(
                f"aws: {len(ours)} objects of {scope.cluster} are left: "
                + ", ".join(f"{each.ref.kind} {each.id}" for each in ours)
                + (f" ({reasons[0]})" if reasons else ""),
                "AWS has not let go of them yet, or something else uses them: run destroy again",
            )
        told("remove what AWS holds", len(ours))
        reasons = [reason for each in _possible(ours) for reason in _delete(api, each)]
        waited = not pause()


def _ours(found: Iterable[Found], pods: IPv4Network) -> tuple[Found, ...]:
    """What is to be removed. An instance that has ended needs nothing more, and stays visible for
    an hour."""
    objects = tuple(found)
    interfaces = frozenset(
        str(each.details["interface"]) for each in objects if each.ref.kind in ("instance", "ended")
    )
    everything = routes.surplus((), _routes(objects, owned=False), pods, interfaces)
    return (
        *(
            each
            for each in objects
            if each.owned
            and each.ref.kind != "route"
            and not (each.ref.kind == "ended" and each.details["state"] == "terminated")
        ),
        *everything,
    )


def _possible(ours: Iterable[Found]) -> list[Found]:
    """What can be removed now: as long as there are instances, little but them."""
    objects = sorted(ours, key=_order)
    early = [each for each in objects if each.ref.kind in ("instance", "ended", "route")]
    return early or objects


def _routes(found: Iterable[Found], *, owned: bool) -> tuple[Found, ...]:
    return tuple(each for each in found if each.ref.kind == "route" and each.owned == owned)


def _shared(found: Iterable[Found]) -> tuple[str, ...]:
    kept = (each for each in found if not each.owned and each.ref.kind not in ("route", "table"))
    return tuple(sorted({f"{each.ref.kind} {each.id}" for each in kept}))


def _order(found: Found) -> int:
    return _ORDER.get(found.ref.kind, _ORDER["instance"])


def _delete(api: Api, found: Found) -> list[str]:
    """Tries to; why it could not be done yet, if so."""
    for call in _calls(found):
        try:
            api.call(call.service, call.operation, call.arguments)
        except CloudError as error:
            if is_absence(error.code) or error.code in call.done:
                continue
            if error.code in IN_USE:
                return [" ".join(error.text.split())]
            raise
    return []


def _calls(found: Found) -> tuple[Call, ...]:
    kind = found.ref.kind
    if kind in _EXTRA:
        operation, key = _EXTRA[kind]
        return (Call(operation=operation, arguments={key: found.id}),)
    return () if kind == "ended" else BY_NAME[kind].delete(found)


def left(api: Api, scope: Scope) -> tuple[str, ...]:
    """Everything that bears the cluster's tag now, ours or not."""
    found = (*survey(api, scope), *attachments(api, scope))
    there = seen(found)
    return tuple(sorted(f"{each.ref.kind} {each.id}" for each in there if each.ref.kind != "route"))
