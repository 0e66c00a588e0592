"""extensions/v1beta1 NetworkPolicy, the one of Kubernetes 1.3-1.6: ingress only, and of account
only where the namespace's annotation isolates (`isolation.py`).

It is read as networking.k8s.io/v1 is, with these differences:
- protocols may be written in lower case: the API of that time took them so;
- an empty list of peers or ports is refused, since it has meant both: nothing in Kubernetes 1.3
  ("if this field is empty, this rule matches no ports"), everything from 1.7 on. The API itself
  drops empty lists, so that only files hold them;
- egress, which came in 1.8 together with networking.k8s.io/v1, is refused, and closed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from romana.objects import NetworkPolicy
from romana.sources.errors import InvalidObject
from romana.sources.fields import name_in
from romana.sources.policies import policy_from

NEWER = "write the policy as networking.k8s.io/v1"


class WireBetaPolicy(msgspec.Struct):
    """extensions/v1beta1 NetworkPolicy, undecoded."""

    metadata: Any = None
    spec: Any = None


def beta_policy_of(wire: WireBetaPolicy) -> NetworkPolicy:
    """The policy of a decoded one. Raises InvalidObject."""
    return beta_policy_from({"metadata": wire.metadata, "spec": wire.spec})


def beta_policy_from(obj: object) -> NetworkPolicy:
    """A policy from its manifest.

    Raises:
        InvalidObject: a field cannot be read or honoured; `closed` is what must be enforced.
    """
    spec = obj.get("spec") if isinstance(obj, dict) else None
    if not isinstance(obj, dict) or not isinstance(spec, dict):
        return _beta(obj)
    restated, faults = _restated(spec)
    policy = _beta({**obj, "spec": restated})
    if faults:
        field, reason = faults[0]
        if "egress" in field or "policyTypes" in field:
            policy = msgspec.structs.replace(policy, egress=())
        raise InvalidObject("NetworkPolicy", name_in("NetworkPolicy", obj), field, reason, policy)
    return policy


def _beta(obj: object) -> NetworkPolicy:
    try:
        return msgspec.structs.replace(policy_from(obj), beta=True)
    except InvalidObject as error:
        if isinstance(error.closed, NetworkPolicy):
            error.closed = msgspec.structs.replace(error.closed, beta=True)
        raise


def _restated(spec: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The spec as networking.k8s.io/v1 says it, less what cannot be honoured: fields and reasons.
    What has a wrong type is left for the reader to refuse."""
    result = {key: value for key, value in spec.items() if key not in ("egress", "policyTypes")}
    faults: list[tuple[str, str]] = []
    if spec.get("egress") is not None:
        faults.append(("spec.egress", f"extensions/v1beta1 has no egress; {NEWER}"))
    if spec.get("policyTypes") not in (None, [], ["Ingress"]):
        faults.append(("spec.policyTypes", f"extensions/v1beta1 knows Ingress only; {NEWER}"))
    rules = spec.get("ingress")
    if isinstance(rules, list):
        kept = []
        for index, rule in enumerate(rules):
            empty = [
                key for key in ("from", "ports") if isinstance(rule, dict) and rule.get(key) == []
            ]
            faults += [(f"spec.ingress[{index}].{key}", _EMPTY) for key in empty]
            kept += [] if empty else [_in_capitals(rule)]
        result["ingress"] = kept
    return result, faults


_EMPTY = "an empty list means nothing in Kubernetes 1.3, everything from 1.7 on; fill or omit it"


def _in_capitals(rule: object) -> object:
    """A rule with its protocols in capitals."""
    ports = rule.get("ports") if isinstance(rule, dict) else None
    if not isinstance(rule, dict) or not isinstance(ports, list):
        return rule
    return {**rule, "ports": [_port(each) for each in ports]}


def _port(port: object) -> object:
    protocol = port.get("protocol") if isinstance(port, dict) else None
    if isinstance(port, dict) and isinstance(protocol, str):
        return {**port, "protocol": protocol.upper()}
    return port
