"""Images: the same bytes every time, whole in both layouts, and a pause that behaves."""

import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from installer import images
from installer.errors import ArtifactError

STATIC = Path("/bin/busybox")
needs_busybox = pytest.mark.skipif(
    not (STATIC.is_file() and images.is_static(STATIC.read_bytes())),
    reason="no static busybox on this machine",
)


def opened(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        files = {m.name: archive.extractfile(m) for m in archive.getmembers() if m.isfile()}
        return {name: stream.read() for name, stream in files.items() if stream}


@needs_busybox
class TestBuild:
    tar = (
        images.build("example/x:1", STATIC.read_bytes(), ("/bin/sh",), ("sh",))
        if STATIC.is_file()
        else b""
    )

    def test_same_bytes_again(self) -> None:
        assert self.tar == images.build("example/x:1", STATIC.read_bytes(), ("/bin/sh",), ("sh",))

    def test_every_blob_is_what_its_name_says(self) -> None:
        blobs = {n: c for n, c in opened(self.tar).items() if n.startswith("blobs/sha256/")}
        assert len(blobs) == 3
        assert all(n.endswith(hashlib.sha256(c).hexdigest()) for n, c in blobs.items())

    def test_index_leads_to_the_layer(self) -> None:
        files = opened(self.tar)
        (entry,) = json.loads(files["index.json"])["manifests"]
        assert entry["annotations"]["io.containerd.image.name"] == "example/x:1"
        assert entry["digest"] == images.manifest_digest(self.tar)
        manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
        layer = files["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")]
        with tarfile.open(fileobj=io.BytesIO(layer)) as root:
            assert root.getmember("bin/sh").linkname == "busybox"
            assert root.getmember("bin/busybox").mode == 0o755

    def test_docker_archive_names_the_same_parts(self) -> None:
        files = opened(self.tar)
        (entry,) = json.loads(files["manifest.json"])
        assert entry["RepoTags"] == ["example/x:1"]
        assert {entry["Config"], *entry["Layers"]} <= set(files)


@needs_busybox
def test_cache_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = images.images()
    written = {image.path: image.path.stat().st_mtime_ns for image in first}
    assert images.images() == first
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert [image.ref for image in first] == ["romana.local/pause:1", "romana.local/busybox:1"]
    assert all(images.manifest_digest(image.path) == image.digest for image in first)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(80)])
def test_not_a_static_program(content: bytes) -> None:
    assert not images.is_static(content)


def test_dynamic_program_is_told_apart() -> None:
    assert not images.is_static(Path("/bin/sh").read_bytes())


def test_unknown_architecture_is_one_line() -> None:
    with pytest.raises(ArtifactError, match="machine type 0x8 is no supported"):
        images.architecture(b"\x7fELF\x02\x01" + bytes(12) + b"\x08\x00")


def test_no_package_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without apt-get and without busybox."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(images, "is_static", lambda _: False)
    with pytest.raises(ArtifactError, match="apt-get cannot be run") as caught:
        images.busybox(tmp_path)
    assert "install busybox-static" in caught.value.advice


@needs_busybox
@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace needs root")
def test_pause_reaps_and_ends_at_once() -> None:
    """As process 1 of a process namespace: orphans leave no zombie, and SIGTERM ends it."""
    script = "( (:) & ) ; " + images._PAUSE_SCRIPT
    command = ("unshare", "--pid", "--fork", "--mount-proc", STATIC, "sh", "-c", script)
    with subprocess.Popen(command) as outer:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        while not (inner := children.read_text().split()):
            pass
        pause = int(inner[0])
        try:
            for _ in range(20):
                subprocess.run(
                    ("nsenter", f"--target={pause}", "--pid", "sh", "-c", "(sleep 0.05 &) &"),
                    check=True,
                )
            deadline = 50
            while (
                len(Path(f"/proc/{pause}/task/{pause}/children").read_text().split()) != 1
                and deadline
            ):
                deadline -= 1
                subprocess.run(("sleep", "0.05"), check=True)
            assert len(Path(f"/proc/{pause}/task/{pause}/children").read_text().split()) == 1
        finally:
            os.kill(pause, signal.SIGTERM)
        assert outer.wait(timeout=2) == 0
