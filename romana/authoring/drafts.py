"""What a file of policies holds: manifests, or the original's JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from romana.authoring.original import imported, is_original
from romana.objects import Key
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.files import read_manifests
from romana.sources.kinds import BETA_POLICY, BY_TYPE, POLICY, ROMANA_POLICY, Kind
from romana.sources.romana_policies import NAME, read_romana_policy

POLICY_KINDS = (ROMANA_POLICY, POLICY, BETA_POLICY)
STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A policy as it is written.

    Args:
        kind: of its manifest.
        manifest: the policy.
        faults: what is wrong, one line each with its path in the document.
        notes: what the operator should know.
    """

    kind: Kind
    manifest: dict[str, Any]
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The object's key."""
        return key_of(self.kind, self.manifest)

    @property
    def title(self) -> str:
        """`RomanaPolicy NAME`, `NetworkPolicy NAMESPACE/NAME`."""
        return f"{self.kind.name} {'/'.join(filter(None, self.key))}"


def key_of(kind: Kind, manifest: dict[str, Any]) -> Key:
    """The key of an object, from its manifest."""
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    namespace = str(metadata.get("namespace") or "default") if kind.namespaced else ""
    return (namespace, str(metadata.get("name") or ""))


def read_drafts(path: Path) -> tuple[Draft, ...]:
    """The policies in a file; `-` is standard input.

    Raises:
        SourceError: it cannot be read, or holds something else than policies.
    """
    try:
        text = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    found = _decoded(text, path.name)
    if found and all(is_original(each) for each in found):
        return tuple(draft for document in found for draft in _originals(document))
    drafts = tuple(_draft(each, f"{path}: document {at}") for at, each in enumerate(found, start=1))
    if not drafts:
        raise SourceError(f"{path}: holds no policy")
    return drafts


def _decoded(text: bytes, name: str) -> tuple[object, ...]:
    """The documents of a file, JSON or YAML whatever its name is: JSON may hold tabs, which YAML
    refuses."""
    if text.lstrip()[:1] in (b"{", b"["):
        try:
            return read_manifests(text, f"{name.removesuffix('.json')}.json")
        except SourceError:
            if name.endswith(".json"):
                raise
    return read_manifests(text, name)


def _originals(document: object) -> Iterator[Draft]:
    for found in imported(document):
        yield Draft(
            kind=ROMANA_POLICY,
            manifest=found.manifest,
            faults=tuple(str(fault) for fault in found.faults),
            notes=found.notes,
        )


def _draft(manifest: object, where: str) -> Draft:
    if not isinstance(manifest, dict) or "kind" not in manifest:
        raise SourceError(f"{where}: is neither a manifest nor a policy of the original Romana")
    kind = BY_TYPE.get((str(manifest.get("apiVersion")), str(manifest["kind"])))
    if kind not in POLICY_KINDS or kind is None:
        said = f"{manifest.get('apiVersion')} {manifest['kind']}"
        wanted = ", ".join(f"{each.name} of {each.api_version}" for each in POLICY_KINDS)
        raise SourceError(f"{where}: is {said}; wanted is {wanted}")
    return Draft(kind=kind, manifest=manifest, faults=_faults(kind, manifest))


def _faults(kind: Kind, manifest: dict[str, Any]) -> tuple[str, ...]:
    if kind is ROMANA_POLICY:
        return tuple(str(fault) for fault in read_romana_policy(manifest).faults)
    wrong = [each for each in key_of(kind, manifest) if not NAME.fullmatch(each)]
    if wrong:
        return (f"metadata: `{wrong[0]}` is not a name that Kubernetes takes",)
    try:
        kind.read(manifest)
    except InvalidObject as error:
        return (": ".join(filter(None, (error.field, error.reason))),)
    return ()
