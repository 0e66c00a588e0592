"""Kubernetes' binaries as resources."""

from __future__ import annotations

from installer.resources import Binary
from installer.roles.role import Target

BIN = "/usr/local/bin"


def program(target: Target, name: str) -> Binary:
    """A Kubernetes binary of the cluster's version, in /usr/local/bin."""
    artifact = target.artifacts.program(name)
    return Binary(f"{BIN}/{name}", source=artifact.source, sha256=artifact.sha256)
