"""Objects from a directory of manifests: every `*.yaml`, `*.yml` and `*.json` file directly in it.

A file holds one object, several YAML documents, or a List. A file that cannot be parsed keeps its
last good content.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import yaml

from romana.objects import Key, Object
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.inotify import DirectoryWatch
from romana.sources.kinds import BY_TYPE, KINDS, Kind, Sink

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
RETRY_S = 2
"""How long to wait before a directory that is not there is looked for again."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


Stamp = tuple[int, int, int]
"""A file's inode, size and time of change: another content has another stamp."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, as of `stamp`."""

    stamp: Stamp
    objects: tuple[tuple[Kind, Object], ...] = ()
    invalid: tuple[tuple[Kind, InvalidObject], ...] = ()


def read_manifests(text: bytes, name: str) -> tuple[object, ...]:
    """The manifests in a file, with Lists taken apart.

    Args:
        text: the file's content.
        name: the file's name, which tells JSON from YAML and appears in errors.

    Raises:
        SourceError: it cannot be parsed.
    """
    try:
        if name.endswith(".json"):
            documents = [msgspec.json.decode(text)]
        else:
            documents = list(yaml.load_all(text, Loader=_Loader))  # noqa: S506 - a safe loader
    except msgspec.DecodeError as error:
        raise SourceError(f"{name}: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SourceError(f"{where}: {what}") from error
    return tuple(_flat(documents))


def _flat(documents: list[Any]) -> Iterator[object]:
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
            yield from _flat(document.get("items") or [])
        elif document is not None:
            yield document


def read_content(stamp: Stamp, text: bytes, name: str) -> Content:
    """Read a file's objects. Kinds that Romana does not use are passed over.

    Raises:
        SourceError: the file cannot be parsed, or holds something that is not an object of
        Kubernetes.
    """
    objects: list[tuple[Kind, Object]] = []
    invalid: list[tuple[Kind, InvalidObject]] = []
    for number, manifest in enumerate(read_manifests(text, name), start=1):
        if not isinstance(manifest, dict) or not manifest.get("kind"):
            reason = "it has no `kind`; `romana policy add` imports policies of Romana 0.9 and 2.0"
            raise SourceError(f"{name}: document {number} is not a manifest: {reason}")
        kind = BY_TYPE.get((str(manifest.get("apiVersion")), str(manifest["kind"])))
        if kind is None:
            continue
        try:
            objects.append((kind, kind.read(manifest)))
        except InvalidObject as error:
            invalid.append((kind, error))
    return Content(stamp, tuple(objects), tuple(invalid))


def stamps(directory: Path) -> dict[Path, Stamp]:
    """The manifests in a directory as they are now."""
    return {
        path: (status.st_ino, status.st_size, status.st_mtime_ns)
        for path in sorted(directory.iterdir())
        if path.suffix in SUFFIXES and not path.name.startswith(".")
        if (status := _status(path)) is not None
    }


def revision_of(found: Mapping[Path, Stamp]) -> str:
    """A digest of a directory's state: who has changed it asks the agent for this revision to know
    when the change is in force."""
    text = "\n".join(f"{path.name} {stamp}" for path, stamp in sorted(found.items()))
    return blake2b(text.encode(), digest_size=8).hexdigest()


class FilesSource:
    """Delivers a directory's manifests to a sink.

    Nothing is delivered before every file could be parsed once: what a broken file used to isolate
    is not known.
    """

    def __init__(self, directory: Path, sink: Sink) -> None:
        self._directory = directory
        self._sink = sink
        self._contents: dict[Path, Content] = {}
        self._broken: dict[Path, Stamp] = {}
        self._delivered = False

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                watch = DirectoryWatch(self._directory)
            except OSError as error:
                reason = f"{self._directory} cannot be watched: {error.strerror}"
                self._sink.trouble(str(self._directory), SourceError(reason))
                await asyncio.sleep(RETRY_S)
                continue
            try:
                self._sink.trouble(str(self._directory), None)
                await self._follow(watch)
            finally:
                watch.close()

    async def _follow(self, watch: DirectoryWatch) -> None:
        """Look after each change, until the directory itself is gone."""
        while self._directory.is_dir():
            self.look()
            await watch.changed()

    def look(self) -> None:
        """Read what has changed in the directory, and deliver the whole of it."""
        found = stamps(self._directory)
        changed = self._forget(set(found))
        for path, stamp in found.items():
            known = self._contents.get(path)
            if (known is None or known.stamp != stamp) and self._broken.get(path) != stamp:
                self._read(path, stamp)
                changed = True
        ready = set(found) <= set(self._contents)
        if (changed and self._delivered) or (ready and not self._delivered):
            self._delivered = True
            self._deliver()
        if self._delivered:
            self._sink.mark(revision_of(found))

    def _forget(self, found: set[Path]) -> bool:
        gone = (set(self._contents) | set(self._broken)) - found
        for path in gone:
            self._contents.pop(path, None)
            self._broken.pop(path, None)
            self._sink.trouble(str(path), None)
        return bool(gone)

    def _read(self, path: Path, stamp: Stamp) -> None:
        try:
            self._contents[path] = read_content(stamp, path.read_bytes(), path.name)
        except (SourceError, OSError) as error:
            kept = (
                "its last good content stays in force" if path in self._contents else "not in force"
            )
            self._broken[path] = stamp
            self._sink.trouble(str(path), SourceError(f"{error} ({kept})"))
        else:
            self._broken.pop(path, None)
            self._sink.trouble(str(path), None)

    def _deliver(self) -> None:
        # By field: the versions of one kind are delivered together.
        objects: dict[str, dict[Key, Object]] = {kind.field: {} for kind in KINDS}
        invalid: dict[str, list[InvalidObject]] = {kind.field: [] for kind in KINDS}
        for path in sorted(self._contents):
            content = self._contents[path]
            for kind, obj in content.objects:
                if obj.key in objects[kind.field]:
                    reason = f"is there twice; the one of {path.name} is in force"
                    invalid[kind.field].append(
                        InvalidObject(kind.name, "/".join(filter(None, obj.key)), "", reason)
                    )
                objects[kind.field][obj.key] = obj
            for kind, error in content.invalid:
                invalid[kind.field].append(error)
        for kind in KINDS:
            self._sink.replace(kind, list(objects[kind.field].values()), invalid[kind.field])


def _status(path: Path) -> os.stat_result | None:
    """The file's status; None where it has gone since the directory was listed."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
