"""The operator's own address, as AWS sees it."""

from __future__ import annotations

import urllib.error
import urllib.request
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from installer.errors import PlatformError

URL = "https://checkip.amazonaws.com"
LIMIT_S = 10.0


def own(url: str = URL) -> IPv4Network:
    """The network of the one address that this machine goes out with.

    Raises:
        PlatformError: it cannot be found out.
    """
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:  # noqa: S310 (https)
            return IPv4Network(IPv4Address(answer.read(64).decode().strip()))
    except (urllib.error.URLError, OSError, AddressValueError, UnicodeDecodeError) as error:
        reason = getattr(error, "reason", error)
        raise PlatformError(
            f"aws: the address that you come from cannot be found out ({url}: {reason})",
            "name the networks that may reach SSH and the API server: aws.ssh_from",
        ) from error
