"""Takes secrets out of what is written down. Nothing should put them there; this is for the day
that something does."""

from __future__ import annotations

import re

_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(-----END \1-----|\Z)", re.DOTALL)
_FIELD = re.compile(
    r"((?:client-key-data|token|password|secret|private[-_]key)\"?\s*[:=]\s*\"?)"
    r"([A-Za-z0-9+/=_.-]{16,})",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text without private keys, tokens and passwords."""
    return _FIELD.sub(r"\1[redacted]", _KEY.sub(r"[redacted \1]", text))
