"""The agents' directory of manifests, changed by differences."""

from __future__ import annotations

from pathlib import Path

from romana.conformance.manifests import Manifests
from romana.sources.files import revision_of, stamps


class ManifestDirectory:
    """A directory that holds the same manifests as the last state that was applied.

    Args:
        path: an empty directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, bytes] = {}

    def apply(self, wanted: Manifests) -> str:
        """Write what differs, each file by an atomic rename, and remove what is not wanted.

        Returns:
            The revision of the directory, by which an agent names this state.
        """
        changed = {
            name: content for name, content in wanted.items() if self._known.get(name) != content
        }
        for name, content in changed.items():
            self._new(name).write_bytes(content)
        # All the writing is done: what follows takes microseconds, and an agent hardly ever sees
        # the half of it.
        for name in changed:
            self._new(name).rename(self.path / name)
        for name in self._known.keys() - wanted.keys():
            (self.path / name).unlink()
        self._known = dict(wanted)
        return revision_of(stamps(self.path))

    def _new(self, name: str) -> Path:
        return self.path / f".{name}.new"
