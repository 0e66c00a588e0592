"""The namespace annotation of Kubernetes 1.3-1.6 that closes a namespace's pods to ingress.

`net.beta.kubernetes.io/network-policy: {"ingress": {"isolation": "DefaultDeny"}}`. Romana 0.9
documented the older spelling `networkpolicy`; it counts as well, since people have written it.

https://github.com/kubernetes/design-proposals-archive/blob/main/network/network-policy.md
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from romana.objects import DEFAULT_DENY_ANNOTATION

ANNOTATIONS = (DEFAULT_DENY_ANNOTATION, "net.beta.kubernetes.io/networkpolicy")


class Unreadable(ValueError):
    """The annotation does not say what is wanted.

    Args:
        annotation: its name.
        reason: what is wrong with it.
    """

    def __init__(self, annotation: str, reason: str) -> None:
        super().__init__(reason)
        self.annotation = annotation
        self.reason = reason


def isolating_annotation(annotations: Mapping[str, str]) -> str:
    """The name of the annotation that isolates a namespace; empty where none does. Of two that
    disagree, the one that isolates counts.

    Raises:
        Unreadable: one of them cannot be read. The namespace must be isolated then.
    """
    found = [name for name in ANNOTATIONS if name in annotations and _isolates(name, annotations)]
    return found[0] if found else ""


def _isolates(name: str, annotations: Mapping[str, str]) -> bool:
    try:
        content = msgspec.json.decode(annotations[name])
    except msgspec.DecodeError as error:
        raise Unreadable(name, f"is not JSON: {error}") from error
    if content == {}:
        return False
    ingress = content.get("ingress") if isinstance(content, dict) else None
    if not isinstance(ingress, dict) or set(content) != {"ingress"}:
        raise Unreadable(name, 'must be {"ingress": {"isolation": "DefaultDeny"}}')
    isolation = ingress.get("isolation")
    if set(ingress) - {"isolation"} or isolation not in (None, "DefaultDeny"):
        raise Unreadable(name, "ingress knows only the isolation DefaultDeny")
    return isolation == "DefaultDeny"
