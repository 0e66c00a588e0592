"""Takes secrets out of what is collected. Pure.

Two nets: what looks like a secret, wherever it stands; and the cluster's own secrets by their
value, whatever they look like there. Of API objects, what people put secrets into goes as a whole.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Any

from installer.observers.redaction import redacted

REMOVED = "[redacted]"
_SHORTEST = 16
"""A line of a key that is shorter says nothing, and might stand anywhere."""
_BODY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s(.*?)-----END", re.DOTALL)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Cleaner:
    """Cleans texts and objects.

    Args:
        secrets: the cluster's own: files with private keys (PEM), and others such as passwords.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        values = sorted({each for secret in secrets for each in _forms(secret)}, key=len)
        self._known = re.compile("|".join(map(re.escape, reversed(values)))) if values else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(REMOVED, text)
        return redacted(text)

    def object(self, value: Any) -> Any:
        """An API object or list without what people put secrets into: values of environment
        variables, arguments, and what was applied last."""
        if isinstance(value, list):
            return [self.object(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: _hidden(key, each) or self.object(each)
            for key, each in value.items()
            if key not in (_LAST_APPLIED, "managedFields")
        }


def _hidden(key: str, value: Any) -> Any:
    """What stands in the place of a field that may be secret; nothing for all others."""
    if key == "env" and isinstance(value, list):
        return [{"name": each.get("name", ""), "value": REMOVED} for each in value]
    if key in ("args", "command") and isinstance(value, list):
        return [*value[:1], *([REMOVED] if value[1:] else [])]
    return None


def _forms(secret: bytes) -> Iterator[str]:
    """How a secret may stand in a text: itself, its lines, and all of that in base64."""
    whole = secret.strip()
    bodies = [line for body in _BODY.findall(secret) for line in body.split()]
    for value in (whole, secret, *bodies):
        if len(value) >= _SHORTEST:
            yield value.decode("latin-1")
            yield base64.b64encode(value).decode()
