"""Policies of the original Romana: the JSON of 0.9 and of 2.0, as manifests of RomanaPolicy. Pure.

- 0.9: `{"securitypolicies": [...]}` or one object, with `applied_to`, `peers` and `rules`: any of
  the peers on any of the rules.
- 2.0: `applied_to` and `ingress`, a list of entries with `peers` and `rules` each.

Tenants are namespaces, segments are labels. What the original ignored, guessed or widened (ICMP
types, unknown selectors, egress) is refused with its path in the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from romana.sources.kinds import ROMANA_POLICY
from romana.sources.reading import Fault, Reading
from romana.sources.romana_policies import read_romana_policy

_BOOKKEEPING = ("id", "external_id", "datacenter")
_COMMON = ("name", "description", "direction", "applied_to", *_BOOKKEEPING)
_IDENTIFIERS = tuple(
    f"{part}_{each}"
    for part in ("tenant", "segment")
    for each in ("id", "external_id", "network_id")
)
_EGRESS_0_9 = "0.9 never enforced egress; write a RomanaPolicy that says what is admitted"
_EGRESS_2_0 = (
    "in 2.0 egress lists what is dropped; a RomanaPolicy says what is admitted: write it anew"
)
_FROM_KUBERNETES = "was made from a NetworkPolicy, which is read itself: leave it out"
EVERY_POD = "`dest: local` isolates every pod of the cluster"


class Imported(NamedTuple):
    """A policy of the original.

    Args:
        manifest: the same as a RomanaPolicy.
        faults: what cannot be honoured, with its path in the original document.
        notes: what the operator should know.
    """

    manifest: dict[str, Any]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def is_original(document: object) -> bool:
    """Whether a document is the original's, rather than a manifest of Kubernetes."""
    if isinstance(document, list):
        return bool(document) and all(is_original(each) for each in document)
    return (
        isinstance(document, dict)
        and "kind" not in document
        and ("securitypolicies" in document or "applied_to" in document)
    )


def imported(document: object) -> Iterator[Imported]:
    """The policies of a document of the original."""
    if isinstance(document, dict) and "securitypolicies" in document:
        found, prefix = document["securitypolicies"], "securitypolicies"
    else:
        found, prefix = document, ""
    if not isinstance(found, list):
        yield _policy(found, prefix)
        return
    for index, each in enumerate(found):
        yield _policy(each, f"{prefix}[{index}]")


def _policy(value: object, where: str) -> Imported:
    reading = Reading()
    newer = isinstance(value, dict) and "ingress" in value
    known = (*_COMMON, "ingress") if newer else (*_COMMON, "peers", "rules")
    policy = reading.mapping(where or "document", value, known, {}) or {}
    prefix = f"{where}." if where else ""
    name, notes = _name(reading, prefix, policy)
    direction = policy.get("direction")
    if direction == "egress":
        reading.refuse(f"{prefix}direction", _EGRESS_2_0 if newer else _EGRESS_0_9)
    elif direction != "ingress":
        reading.refuse(f"{prefix}direction", "must be ingress")
    spec: dict[str, Any] = {"direction": "ingress"}
    if policy.get("description"):
        spec["description"] = policy["description"]
    spec["applied_to"] = _parties(reading, f"{prefix}applied_to", policy.get("applied_to"), newer)
    entries = policy.get("ingress") if newer else [policy]
    spec["ingress"] = _entries(reading, prefix, entries, newer)
    manifest = {
        "apiVersion": ROMANA_POLICY.api_version,
        "kind": ROMANA_POLICY.name,
        "metadata": {"name": name},
        "spec": spec,
    }
    if {"dest": "local"} in (spec["applied_to"] or ()):
        notes = (*notes, EVERY_POD)
    faults = [*reading.faults]
    for fault in read_romana_policy(manifest).faults:
        field = _original_field(fault.field, newer)
        if field != "direction" and not field.startswith("metadata"):
            faults.append(Fault(prefix + field, fault.reason))
    return Imported(manifest, tuple(faults), notes)


def _original_field(field: str, newer: bool) -> str:
    """A path in the manifest as it is in the original document."""
    field = field.removeprefix("spec.")
    return field if newer else field.removeprefix("ingress[0].")


def _name(reading: Reading, prefix: str, policy: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    given = next((policy[key] for key in ("name", *_BOOKKEEPING[:2]) if policy.get(key)), "")
    name = re.sub(r"[^a-z0-9.-]+", "-", str(given).lower()).strip("-.")[:253]
    if str(given).startswith("kube."):
        reading.refuse(f"{prefix}{'name' if policy.get('name') else 'id'}", _FROM_KUBERNETES)
    if not name:
        reading.refuse(f"{prefix}name", "is missing")
    return name, () if name == given else (f"`{given}` becomes `{name}`",)


def _entries(reading: Reading, prefix: str, value: Any, newer: bool) -> Any:
    """The entries with their parties rewritten; what has another shape is left for the reader of
    manifests to refuse."""
    if not isinstance(value, list):
        return value
    result: list[object] = []
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            result.append(entry)
            continue
        where = f"{prefix}ingress[{index}]." if newer else prefix
        peers = _parties(reading, f"{where}peers", entry.get("peers"), newer)
        rest = {key: entry[key] for key in entry if key not in ("peers", *_COMMON)}
        result.append({**rest, **({} if peers is None else {"peers": peers})})
    return result


def _parties(reading: Reading, field: str, value: Any, newer: bool) -> Any:
    """Targets or peers; what has another shape is left for the reader of manifests to refuse."""
    if not isinstance(value, list):
        return value
    return [
        _party(reading, f"{field}[{index}]", each, newer) if isinstance(each, dict) else each
        for index, each in enumerate(value)
    ]


def _party(reading: Reading, field: str, party: dict[str, Any], newer: bool) -> dict[str, Any]:
    """A target or peer by the names of its tenant and segment. In 2.0 `tenant_id` and `segment_id`
    hold names; in 0.9 they are numbers of its database, and redundant beside a name."""
    result = {
        key: value
        for key, value in party.items()
        if key not in _IDENTIFIERS and value not in ("", None)
    }
    for part in ("tenant", "segment"):
        identifiers = [key for key in _IDENTIFIERS if key.startswith(part) and party.get(key)]
        if part in result or not identifiers:
            continue
        if newer and identifiers[0] == f"{part}_id":
            result[part] = party[identifiers[0]]
        else:
            reason = f"is a number of the original's database; write `{part}` with its name"
            reading.refuse(f"{field}.{identifiers[0]}", reason)
    return result
