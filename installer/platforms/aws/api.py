"""The only place that calls boto3. Everything else is values."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from installer.errors import PlatformError
from installer.platforms.aws.errors import THROTTLED, CloudError, explained, is_absence

CALL_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things are retried and waited for, in seconds. `first_s` doubles up to `longest_s`.

    Args:
        first_s: before the second attempt.
        longest_s: between two attempts.
        throttled_s: in all, while AWS says to call less often.
        visible_s: until what was made is seen everywhere (EC2 is eventually consistent).
        released_s: until what was deleted lets go of what it used.
        running_s: until an instance runs, and answers SSH.
    """

    first_s: float = 0.5
    longest_s: float = 8.0
    throttled_s: float = 120.0
    visible_s: float = 60.0
    released_s: float = 300.0
    running_s: float = 300.0

    def pauses(self, limit_s: float) -> Callable[[], bool]:
        """A function that waits, longer each time, and says whether there was time left to."""
        end, pause = time.monotonic() + limit_s, self.first_s

        def wait() -> bool:
            nonlocal pause
            if time.monotonic() >= end:
                return False
            # Many runs that were throttled together must not come back together.
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, self.longest_s)
            return True

        return wait


@dataclass(slots=True)
class Api:
    """Calls of one account and region, counted.

    Args:
        region: "eu-central-1".
        profile: of the AWS configuration; empty for what the environment says.
        pace: of retries.
    """

    region: str
    profile: str = ""
    pace: Pace = Pace()
    calls: dict[str, int] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def call(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        settling: bool = False,
    ) -> dict[str, Any]:
        """One call, all pages of it.

        Args:
            service: "ec2".
            operation: boto3's name: "create_vpc".
            arguments: as boto3 takes them.
            settling: what it refers to was made a moment ago and may not be visible yet.

        Raises:
            CloudError: it failed, or did not succeed within its bound.
            PlatformError: there are no credentials, or AWS cannot be reached.
        """
        throttled = self.pace.pauses(self.pace.throttled_s)
        passing = self.pace.pauses(self.pace.visible_s)
        while True:
            try:
                return self._once(service, operation, dict(arguments or {}))
            except CloudError as error:
                if error.code in THROTTLED:
                    waited = throttled()
                else:
                    waited = _passes(error, operation, settling) and passing()
                if not waited:
                    raise

    def _once(self, service: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            client = self._client(service)
            with self._lock:
                name = f"{service}:{operation}"
                self.calls[name] = self.calls.get(name, 0) + 1
            if client.can_paginate(operation):
                pages = client.get_paginator(operation).paginate(**arguments)
                return dict(pages.build_full_result())
            return dict(getattr(client, operation)(**arguments))
        except ClientError as error:
            found = error.response.get("Error", {})
            raise explained(
                service,
                error.operation_name,
                self.region,
                str(found.get("Code", "")),
                str(found.get("Message", "")),
            ) from error
        except ResponseParserError as error:
            raise PlatformError(
                f"aws: what answers for {self.region} is not AWS",
                "a proxy perhaps (HTTPS_PROXY, AWS_ENDPOINT_URL); then run the same command again",
            ) from error
        except BotoCoreError as error:
            raise _unreachable(error, self.region, self.profile) from error

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                session: Any = boto3.session.Session(  # type: ignore[no-untyped-call]
                    region_name=self.region, profile_name=self.profile or None
                )
                # Attempts are counted here, where a bound and a reason can be given; a create that
                # was perhaps carried out must not be sent again blindly.
                self._clients[service] = session.client(
                    service,
                    config=Config(  # type: ignore[no-untyped-call]
                        retries={"total_max_attempts": 1},
                        connect_timeout=CALL_TIMEOUT_S,
                        read_timeout=CALL_TIMEOUT_S,
                        user_agent_extra="romana-install",
                    ),
                )
            return self._clients[service]


def _passes(error: CloudError, operation: str, settling: bool) -> bool:
    """Whether it is worth trying again: a question whose answer was lost; or a call that came
    before what it refers to could be seen. What changes something and was not answered has perhaps
    been done: the next run will see."""
    if error.code == LOST:
        return operation.startswith(("describe_", "get_", "list_"))
    profile = error.code == "InvalidParameterValue" and "nstance" in error.text
    return settling and (is_absence(error.code) or profile or error.code in _BUSY)


LOST = "ConnectionLost"
"""Our own word for an answer that did not come."""
_BUSY = frozenset({"IncorrectInstanceState", "IncorrectState", "InvalidIPAddress.InUse"})


def _unreachable(error: BotoCoreError, region: str, profile: str) -> PlatformError:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return PlatformError(
            "aws: there are no credentials",
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure",
        )
    if isinstance(error, ProfileNotFound):
        return PlatformError(
            f"aws: there is no profile {profile} in the AWS configuration",
            "see aws configure list-profiles",
        )
    if isinstance(error, TokenRetrievalError):
        return PlatformError("aws: the credentials have expired", "get new ones: aws sso login")
    if isinstance(error, NoRegionError):
        return PlatformError("aws: no region is given", "name one in the inventory: aws.region")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return PlatformError(
            f"aws: {region} cannot be reached: {' '.join(str(error).split())}",
            "check the region's name and this machine's way to the internet; then run again",
        )
    lost = isinstance(error, ConnectionClosedError | ReadTimeoutError)
    return CloudError(
        f"aws: {' '.join(str(error).split())}",
        "run the same command again to continue",
        code=LOST if lost else type(error).__name__,
    )
