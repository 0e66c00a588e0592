"""What the agent says when it cannot.

AgentError        root; one line for the operator
  ConfigError     the configuration is unsound; nothing was started
  RequestError    a request on the socket is refused; `code` is CNI's
"""

from __future__ import annotations

INTERNAL = 100
UNKNOWN_CONTAINER = 3
BAD_REQUEST = 7
TRY_LATER = 11
NOT_AVAILABLE = 50
NOT_AS_MADE = 101
NO_ADDRESS = 102
NOT_FOUND = 103


class AgentError(Exception):
    """Root of the agent's errors."""


class ConfigError(AgentError):
    """The configuration is unsound."""


class RequestError(AgentError):
    """A request on the socket is refused.

    Args:
        code: 1-99 as the CNI specification has them, above that our own.
        message: what, where and why; one line.
        details: what to do next, or more of why.
    """

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
