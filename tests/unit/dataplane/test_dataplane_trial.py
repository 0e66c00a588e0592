"""Which failures of nft say something about nftables, and which only of the moment."""

import pytest

from romana.dataplane.commands import Timeout
from romana.dataplane.errors import CommandError
from romana.dataplane.trial import absent, may_pass

COMMAND = ("unshare", "--net", "nft", "-f", "-")


def failed(code, said, reason="failed"):
    return CommandError(COMMAND, code, said, reason)


@pytest.mark.parametrize(
    ("error", "passing", "missing"),
    [
        (failed(1, "Error: Could not process rule: Operation not supported"), False, False),
        (failed(1, "Error: syntax error, unexpected string"), False, False),
        (failed(1, "Error: Could not process rule: No such file or directory"), False, False),
        (failed(127, "unshare: failed to execute nft: No such file or directory"), False, True),
        (failed(None, "", "cannot be started (No such file or directory)"), False, True),
        (failed(1, "netlink: Error: Cannot allocate memory"), True, False),
        (failed(1, "unshare: unshare failed: No space left on device"), True, False),
        (failed(None, "", "cannot be started (Resource temporarily unavailable)"), True, False),
        (failed(-9, ""), True, False),
        (Timeout(COMMAND, None, "", "took more than 10 s"), True, False),
    ],
    ids=str,
)
def test_a_failure(error, passing, missing):
    assert (may_pass(error), absent(error)) == (passing, missing)
