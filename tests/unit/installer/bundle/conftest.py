"""A small bundle with members of every size that matters, and keys to sign it with."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from installer.bundle import layout
from installer.bundle.contents import FORMAT, Manifest, Member, encode
from installer.bundle.signature import sign
from romana.version import VERSION

CONTENTS = {
    "kubernetes/kubelet": b"",
    "packages/debian-12-amd64.tar": b"p" * 512,
    "images/pause.tar": bytes(range(256)) * 5,
    f"wheels/{'long-' * 25}1.0-py3-none-any.whl": b"wheel",
}
"""None, a block exactly, several, and a name that no plain header holds."""


@dataclass(frozen=True)
class Made:
    """A bundle on disk."""

    path: Path
    manifest: Manifest

    @property
    def bytes(self) -> bytes:
        return self.path.read_bytes()


Make = Callable[..., Made]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the private keys `maker` and `stranger`, and their public halves."""
    place = tmp_path_factory.mktemp("keys")
    for name in ("maker", "stranger"):
        words = ("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(place / name))
        subprocess.run(("ssh-keygen", *words), check=True)
    return place


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Make:
    """Writes a bundle; keyword arguments replace what its manifest says, `key` signs it."""

    def made(key: str = "maker", contents: dict[str, bytes] = CONTENTS, **changed: object) -> Made:
        place = tmp_path_factory.mktemp("bundle")
        members, sources = [], {}
        for number, (name, content) in enumerate(contents.items()):
            sources[name] = place / str(number)
            sources[name].write_bytes(content)
            members.append(
                Member(
                    name=name,
                    kind="wheel",
                    item=name.rpartition("/")[2],
                    version="1",
                    size=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                    origin="a test",
                )
            )
        said: dict[str, object] = {
            "format": FORMAT,
            "romana": VERSION,
            "kubernetes": "v1.20.2",
            "source": "build",
            "architecture": "amd64",
            "systems": ("debian-12",),
            "packages": True,
            "members": tuple(members),
        }
        manifest = Manifest(**(said | changed))  # type: ignore[arg-type]
        signature = sign(encode(manifest), keys / key) if key else b""
        path = place / "site.tar"
        layout.write(path, manifest, signature, sources, lambda done, total: None)
        return Made(path, manifest)

    return made
