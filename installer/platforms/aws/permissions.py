"""Whether what is about to be called is permitted: by the inventory, and by AWS, which is asked
without doing it, so that all that is missing is told at once, before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from installer.errors import PlatformError
from installer.inventory.aws import Aws
from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call, filled
from installer.platforms.aws.difference import Change
from installer.platforms.aws.errors import CloudError
from installer.platforms.aws.records import Ref, Seen


def missing(api: Api, changes: Iterable[Change], ids: Mapping[Ref, str]) -> tuple[CloudError, ...]:
    """The errors that calls of these changes would end with for want of a permission.

    Only calls whose references are known can be asked about, and only EC2 can be asked.
    """
    calls: dict[str, Call] = {}
    for change in changes:
        for call in change.calls:
            if call.service == "ec2" and call.references <= ids.keys():
                calls.setdefault(call.operation, call)

    def ask(call: Call) -> CloudError | None:
        arguments = {**filled(call.arguments, ids), "DryRun": True}
        try:
            api.call("ec2", call.operation, arguments)
        except CloudError as error:
            # The usual answer is DryRunOperation: it would have been done.
            return error if error.missing else None
        return None

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = pool.map(ask, calls.values())
        return tuple(error for error in answers if error is not None)


def require(api: Api, changes: Iterable[Change], ids: Mapping[Ref, str]) -> None:
    """Raises PlatformError where something is missing; names all of it."""
    lacking = missing(api, changes, ids)
    if lacking:
        names = ", ".join(sorted({error.missing for error in lacking}))
        raise PlatformError(
            f"aws: not permitted: {names}; nothing was made",
            "add what is missing to the policy; docs/aws.md lists all that is needed",
        )


def require_allowed(settings: Aws, changes: Sequence[Change], seen: Seen) -> None:
    """Raises PlatformError where routes of others' tables would be changed, unless the inventory
    allows it."""
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
