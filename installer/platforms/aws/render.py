"""Carries changes out: one call after the other, with ids in place of references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call, at, filled
from installer.platforms.aws.difference import Change
from installer.platforms.aws.errors import CloudError
from installer.platforms.aws.records import Ref

Done = Callable[[Change], None]


def carry_out(
    api: Api, changes: Iterable[Change], ids: Mapping[Ref, str], done: Done
) -> dict[Ref, str]:
    """Make the changes, in their order; may be cut at any call, and run again.

    Args:
        api: where.
        changes: as `difference` gives them.
        ids: of what was found.
        done: is told each change that is made.

    Returns:
        Ids of everything, also of what was made.

    Raises:
        PlatformError: a call failed.
    """
    known, fresh = dict(ids), set[Ref]()
    for change in changes:
        for call in change.calls:
            made = _make(api, call, known, fresh)
            known |= made
            fresh |= made.keys()
        done(change)
    return known


def _make(api: Api, call: Call, ids: Mapping[Ref, str], fresh: set[Ref]) -> dict[Ref, str]:
    # A role takes some seconds to be known to EC2, also one that an earlier run has made.
    settling = bool(call.references & fresh) or call.operation == "run_instances"
    try:
        answer = api.call(
            call.service, call.operation, filled(call.arguments, ids), settling=settling
        )
    except CloudError as error:
        if error.code in call.done:
            return {}
        if call.otherwise is not None and error.code in call.otherwise[0]:
            return _make(api, call.otherwise[1], ids, fresh)
        raise
    return {ref: str(at(answer, path)) for ref, path in call.yields}
