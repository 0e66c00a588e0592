"""What nft prints of our table, whole, for those who interpret it."""

from __future__ import annotations

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError, RulesetError
from romana.dataplane.ruleset import TABLE

ABSENT = "No such file or directory"


async def table_text() -> str | None:
    """The table as JSON with numbers instead of names; None where there is none.

    Raises:
        RulesetError: it cannot be read.
    """
    try:
        return await run("nft", "-j", "-n", "list", "table", *TABLE.split())
    except CommandError as error:
        if ABSENT in error.output:
            return None
        raise RulesetError(f"table {TABLE} cannot be read: {error}") from error
