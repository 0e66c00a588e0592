"""Container images that every host holds, imported from files: no registry is needed."""

from __future__ import annotations

from collections.abc import Iterator

from installer.resources import Image, Resource
from installer.roles.role import Target
from installer.roles.runtime import snapshotter


def images(target: Target) -> Iterator[Resource]:
    """The pause image, and the one that the smoke test runs."""
    own = "native" if snapshotter(target.facts) == "native" else ""
    for image in target.artifacts.images:
        yield Image(image.name, source=image.source, sha256=image.sha256, snapshotter=own)
