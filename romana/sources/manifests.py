"""Snapshots from manifests: a directory read once, and a snapshot as a file would change it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from romana.objects import SEGMENT_LABELS, Key, Object, Snapshot
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.files import FilesSource, read_content
from romana.sources.kinds import Kind

PREFIX = "files:"


class Shelf:
    """Takes what a source delivers, once."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[Key, Object]] = {}
        self.faults: list[SourceError] = []

    def snapshot(self, segment_labels: tuple[str, ...] = SEGMENT_LABELS) -> Snapshot:
        """All that was delivered."""
        return Snapshot(**self.objects, segment_labels=segment_labels)  # type: ignore[arg-type]

    def replace(self, kind: Kind, objects: list[Object], invalid: list[InvalidObject]) -> None:
        found = {each.key: each for each in objects}
        for error in invalid:
            self.faults.append(error)
            if error.closed is not None:
                found.setdefault(error.closed.key, error.closed)
        self.objects[kind.field] = found

    def put(self, kind: Kind, obj: Object) -> None:
        self.objects.setdefault(kind.field, {})[obj.key] = obj

    def refuse(self, kind: Kind, error: InvalidObject) -> None:
        del kind
        self.faults.append(error)

    def remove(self, kind: Kind, key: Key) -> None:
        self.objects.get(kind.field, {}).pop(key, None)

    def mark(self, revision: str) -> None:
        del revision

    def trouble(self, where: str, error: SourceError | None) -> None:
        del where
        if error is not None:
            self.faults.append(error)


def directory_of(source: str) -> Path:
    """The directory that `files:DIRECTORY` names.

    Raises:
        SourceError: it names none, or one that is not there.
    """
    directory = Path(source.removeprefix(PREFIX))
    if not source.startswith(PREFIX):
        raise SourceError(f"--source {source}: write files:DIRECTORY or kubernetes[:KUBECONFIG]")
    if not directory.is_dir():
        raise SourceError(f"--source {source}: there is no such directory")
    return directory


def read_directory(
    directory: Path, segment_labels: tuple[str, ...] = SEGMENT_LABELS
) -> tuple[Snapshot, tuple[SourceError, ...]]:
    """All objects of a directory's manifests, and what is wrong with some of them.

    Raises:
        SourceError: a file cannot be parsed: then nothing can be said.
    """
    shelf = Shelf()
    FilesSource(directory, shelf).look()
    if not shelf.objects:
        raise shelf.faults[0] if shelf.faults else SourceError(f"{directory}: cannot be read")
    return shelf.snapshot(segment_labels), tuple(shelf.faults)


def applied(snapshot: Snapshot, text: bytes, name: str, *, remove: bool = False) -> Snapshot:
    """A snapshot as it would be with a file's objects applied, or removed.

    Args:
        snapshot: as it is.
        text: the file's content.
        name: the file's name: for errors, and it tells JSON from YAML.
        remove: take the objects away instead.

    Raises:
        SourceError: the file cannot be read, holds nothing of account, or an object to be removed
            is not there. What cannot be honoured is refused too.
    """
    content = read_content((0, 0, 0), text, name)
    if content.invalid:
        raise content.invalid[0][1]
    if not content.objects:
        raise SourceError(f"{name}: holds no object that Romana uses")
    fields: dict[str, dict[Key, Object]] = {}
    for kind, obj in content.objects:
        held = fields.setdefault(kind.field, dict(getattr(snapshot, kind.field)))
        if not remove:
            held[obj.key] = obj
        elif held.pop(obj.key, None) is None:
            title = "/".join(filter(None, obj.key))
            raise SourceError(f"{name}: there is no {kind.name} {title} to remove")
    return msgspec.structs.replace(snapshot, **fields)


def titles(faults: Iterable[SourceError]) -> list[str]:
    """Faults in words."""
    return [str(each) for each in faults]
