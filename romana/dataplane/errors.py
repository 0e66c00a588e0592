"""What the kernel or its tools refuse.

DataplaneError      root; the message is one line for the operator
  CommandError      an external command failed or took too long; carries its words and what it said
  RulesetError      nftables refused a table; the one before stays in force
  RouteError        some routes could not be written; the others were
  LinkError         a pod's interface could not be made; nothing of it is left
  NetlinkError      the kernel refused a netlink request
"""

from __future__ import annotations


class DataplaneError(Exception):
    """Root of the errors of the kernel layer."""


class CommandError(DataplaneError):
    """An external command failed or took too long.

    Args:
        command: the words it was started with.
        code: its exit code; None where it could not be started or had to be killed.
        output: what it wrote to standard error.
        reason: the failure in a few words.
    """

    def __init__(
        self, command: tuple[str, ...], code: int | None, output: str, reason: str
    ) -> None:
        said = " / ".join(line.strip() for line in output.splitlines()[:6] if line.strip())
        super().__init__(f"`{' '.join(command)}` {reason}{': ' if said else ''}{said}")
        self.command = command
        self.code = code
        self.output = output


class RulesetError(DataplaneError):
    """nftables refused a table; the one before stays in force."""


class RouteError(DataplaneError):
    """Some routes could not be written; the others were."""


class LinkError(DataplaneError):
    """A pod's interface could not be made; nothing of it is left."""


class NetlinkError(DataplaneError):
    """The kernel refused a netlink request.

    Args:
        request: what was asked, in a few words.
        number: the kernel's errno.
        reason: its meaning.
    """

    def __init__(self, request: str, number: int, reason: str) -> None:
        super().__init__(f"the kernel refused to {request}: {reason}")
        self.number = number
