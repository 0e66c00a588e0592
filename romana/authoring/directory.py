"""Policies in a directory that agents watch (`files:DIRECTORY`): a file for each that is added."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from romana.authoring.drafts import POLICY_KINDS, Draft, key_of
from romana.authoring.place import Outcome, meant
from romana.objects import Key
from romana.sources.errors import SourceError
from romana.sources.files import read_manifests, stamps
from romana.sources.kinds import BY_TYPE, Kind


class _Kept(NamedTuple):
    """A policy in a file; `alone` where the file holds nothing else."""

    path: Path
    kind: Kind
    key: Key
    manifest: object
    alone: bool


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """A directory of manifests. Files with several objects are left to their owner's editor: to
    write them anew would lose comments and order."""

    directory: Path

    @property
    def title(self) -> str:
        """The directory."""
        return str(self.directory)

    def add(self, draft: Draft) -> Outcome:
        """Write a policy to the file that holds it alone, or to a new one.

        Raises:
            SourceError: it is in a file with other objects, or the directory cannot be written.
        """
        kept = self._find((draft.kind,), draft.key)
        if kept is None:
            parts = (draft.kind.name.lower(), *filter(None, draft.key))
            path = self.directory / f"{'_'.join(parts)}.yaml"
            if path.exists():
                raise SourceError(f"{path}: is there already, with something else in it; move it")
            self._write(path, draft)
            return Outcome.ADDED
        if kept.manifest == draft.manifest:
            return Outcome.UNCHANGED
        self._write(self._own(kept), draft)
        return Outcome.CHANGED

    def remove(self, name: str) -> Outcome:
        """Remove the file that holds a policy alone.

        Raises:
            SourceError: there is no such policy, or it is in a file with other objects.
        """
        kept = self._find(*meant(name))
        if kept is None:
            known = ["/".join(filter(None, each.key)) for each in self._all()]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known) or 'none'}"
            raise SourceError(f"{self.directory} has no policy `{name}`; {hint}")
        try:
            self._own(kept).unlink()
        except OSError as error:
            raise SourceError(f"{kept.path}: cannot be removed: {error.strerror}") from error
        return Outcome.REMOVED

    def _find(self, kinds: tuple[Kind, ...], key: Key) -> _Kept | None:
        """The policy of this key; of a NetworkPolicy in whichever version."""
        fields = {kind.field for kind in kinds}
        return next(
            (each for each in self._all() if each.kind.field in fields and each.key == key), None
        )

    def _all(self) -> Iterator[_Kept]:
        try:
            paths = list(stamps(self.directory))
        except OSError as error:
            raise SourceError(f"{self.directory}: cannot be read: {error.strerror}") from error
        for path in paths:
            manifests = read_manifests(path.read_bytes(), path.name)
            for each in manifests:
                if not isinstance(each, dict):
                    continue
                kind = BY_TYPE.get((str(each.get("apiVersion")), str(each.get("kind"))))
                if kind in POLICY_KINDS and kind is not None:
                    yield _Kept(path, kind, key_of(kind, each), each, len(manifests) == 1)

    def _own(self, kept: _Kept) -> Path:
        if not kept.alone:
            raise SourceError(f"{kept.path}: holds other objects as well; edit it there")
        return kept.path

    def _write(self, path: Path, draft: Draft) -> None:
        """Write a file whole or not at all. The name in between is one that agents pass over."""
        if path.suffix == ".json":
            text = msgspec.json.format(msgspec.json.encode(draft.manifest), indent=2)
        else:
            text = yaml.safe_dump(draft.manifest, sort_keys=False).encode()
        new = path.with_name(f".{path.name}.new")
        try:
            with new.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise SourceError(f"{path}: cannot be written: {error.strerror}") from error
