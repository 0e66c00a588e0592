"""What a backend has read back, as a table that can be interpreted."""

from __future__ import annotations

from romana.dataplane.backends import Reading
from romana.verify.forms import Table
from romana.verify.nft import parse_table
from romana.verify.xtables import parse_listing


def table_of(reading: Reading) -> Table:
    """The table, whichever backend it is from.

    Raises:
        UnknownForm: something in it cannot be interpreted.
    """
    return parse_table(reading) if isinstance(reading, str) else parse_listing(reading)
