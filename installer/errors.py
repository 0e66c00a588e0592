"""What can go wrong, as few types. A message says what, where, why and what to do next, in a line.

InstallerError            exit 1, the root; shown as `message` and `advice`, never as a traceback
  InventoryError          the inventory is unsound; `problems` holds all of them
  PreflightError          hosts are not fit; `problems` holds all of them
  UpgradeRefused          hosts cannot go from their versions to those wanted; `problems` says why
  ArtifactError           something to install cannot be had, or is not what its checksum says
  PlatformError           hosts cannot be made, found or destroyed
  HostError               one host: `host` names it
    Unreachable           no SSH connection
    CommandFailed         a command ended with an error; `output` holds its last lines
  SmokeFailed             the cluster does not do what it must; `failures` says which checks
"""

from __future__ import annotations

from dataclasses import dataclass


class InstallerError(Exception):
    """Root of all errors shown to the operator.

    Args:
        message: what happened, where and why; one line.
        advice: what to do next; one line, may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding: `where` is `file:line` or a host's name, `what` the finding, `advice` its
    remedy."""

    where: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.advice})" if self.advice else "")


class _Findings(InstallerError):
    """An error made of several findings, all shown."""

    def __init__(self, message: str, problems: tuple[Problem, ...], advice: str = "") -> None:
        super().__init__(message, advice)
        self.problems = problems


class InventoryError(_Findings):
    """The inventory is unsound. Nothing has been touched."""


class PreflightError(_Findings):
    """Hosts are not fit for the cluster. Nothing has been changed."""


class UpgradeRefused(_Findings):
    """Versions that hosts cannot go to from those they have. Nothing has been changed."""


class ArtifactError(InstallerError):
    """An artifact cannot be had from any source, or is not what its checksum says."""


class PlatformError(InstallerError):
    """The platform cannot make, find or destroy hosts."""


class HostError(InstallerError):
    """Something failed on one host.

    Args:
        host: the host's name in the inventory.
        output: the last lines of the command, if one ran.
    """

    def __init__(self, host: str, message: str, advice: str = "", output: str = "") -> None:
        super().__init__(message, advice)
        self.host = host
        self.output = output


class Unreachable(HostError):
    """No SSH connection to the host."""


class CommandFailed(HostError):
    """A command on the host ended with an error."""


class SmokeFailed(InstallerError):
    """The installed cluster does not do what it must.

    Args:
        failures: names of the checks that failed.
    """

    def __init__(self, message: str, failures: tuple[str, ...], advice: str = "") -> None:
        super().__init__(message, advice)
        self.failures = failures
