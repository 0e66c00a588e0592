"""Whether what is about to be called is permitted: asked of EC2 without doing it, so that all that
is missing is told at once, before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call, filled
from installer.platforms.aws.difference import Change
from installer.platforms.aws.errors import CloudError
from installer.platforms.aws.records import Ref


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
