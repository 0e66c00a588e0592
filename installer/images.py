"""Container images without a registry: pause and the smoke test's, around Debian's static busybox.

An image is one tar that is an OCI layout (image-layout.md of the OCI image specification) and, for
older tools, a docker archive as well. The same busybox gives the same bytes, so `digest` is what
`ctr -n k8s.io images ls` shows after `ctr -n k8s.io images import PATH`. Pods use the images with
`imagePullPolicy: Never`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.errors import ArtifactError

PAUSE = "romana.local/pause:1"
BUSYBOX = "romana.local/busybox:1"

# Process 1 is the shell: `wait` collects every orphan, and a signal ends it at once.
_PAUSE_SCRIPT = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait; done"
_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\n"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_MACHINES = {0x3E: "amd64", 0xB7: "arm64"}
_PT_INTERP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image to import on every host: `ref` as pods name it, `path` of its tar, `digest` of its
    manifest ("sha256:...")."""

    ref: str
    path: Path
    digest: str


def images() -> tuple[Image, ...]:
    """The images every host needs, made on first use and kept in the cache.

    Raises:
        ArtifactError: no static busybox is on this machine, and its package cannot be had.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    binary = busybox(cache)
    content = binary.read_bytes()
    # Of the same program the same code makes the same images.
    recipe = hashlib.sha256(content + Path(__file__).read_bytes()).hexdigest()
    record = cache / f"made-{recipe[:12]}.json"
    return _made(record) or _make(cache, record, binary, content)


def _made(record: Path) -> tuple[Image, ...]:
    """What the record names, if all of it is there and whole; else nothing."""
    if not record.is_file():
        return ()
    rows = json.loads(record.read_text())
    if any(_size(record.with_name(row["name"])) != row["size"] for row in rows):
        return ()
    return tuple(
        Image(ref=row["ref"], path=record.with_name(row["name"]), digest=row["digest"])
        for row in rows
    )


def _make(cache: Path, record: Path, binary: Path, content: bytes) -> tuple[Image, ...]:
    made = tuple(
        _store(cache, ref, build(ref, content, entry, applets))
        for ref, entry, applets in (
            (PAUSE, ("/bin/sh", "-c", _PAUSE_SCRIPT), ("sh", "sleep")),
            (BUSYBOX, ("/bin/sh",), _applets(binary)),
        )
    )
    rows = [
        {"ref": each.ref, "name": each.path.name, "digest": each.digest, "size": _size(each.path)}
        for each in made
    ]
    _write(cache, record, json.dumps(rows).encode())
    return made


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _write(cache: Path, path: Path, content: bytes) -> None:
    """Atomically: others may be making the same."""
    descriptor, partial = tempfile.mkstemp(dir=cache, prefix=f"{path.stem}-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(partial).replace(path)


def cache_directory() -> Path:
    """Where images are kept: below XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "romana" / "images-oci"


def busybox(cache: Path) -> Path:
    """A statically linked busybox: this machine's own if it is one, else out of Debian's
    `busybox-static`, fetched once into the cache."""
    own = Path("/bin/busybox")
    if own.is_file() and is_static(own.read_bytes()):
        return own
    kept = cache / "busybox"
    if not kept.is_file():
        _fetch(kept)
    return kept


def is_static(elf: bytes) -> bool:
    """Whether these bytes are a 64-bit little-endian ELF program that needs no loader."""
    if elf[:6] != b"\x7fELF\x02\x01":
        return False
    (offset,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    kinds = (struct.unpack_from("<I", elf, offset + i * size)[0] for i in range(count))
    return _PT_INTERP not in kinds


def architecture(elf: bytes) -> str:
    """The architecture of an ELF program in the image specification's words.

    Raises:
        ArtifactError: it is none that clusters run on.
    """
    (machine,) = struct.unpack_from("<H", elf, 18)
    if machine not in _MACHINES:
        raise ArtifactError(
            f"busybox: machine type {machine:#x} is no supported architecture",
            "run the installer on an amd64 or arm64 machine",
        )
    return _MACHINES[machine]


def build(ref: str, program: bytes, entry: tuple[str, ...], applets: tuple[str, ...]) -> bytes:
    """The tar of an image around one busybox; a pure function, byte for byte.

    Args:
        ref: the image's name with its tag.
        program: the busybox binary.
        entry: the entry point, program and arguments.
        applets: names in /bin that are links to busybox.
    """
    layer = _tar(_root(program, applets))
    config = _json(
        {
            "architecture": architecture(program),
            "config": {"Entrypoint": list(entry), "Env": ["PATH=/bin"], "WorkingDir": "/"},
            "created": "1970-01-01T00:00:00Z",
            "history": [],
            "os": "linux",
            "rootfs": {"diff_ids": [_digest(layer)], "type": "layers"},
        }
    )
    manifest = _json(
        {
            "config": _descriptor(_CONFIG_TYPE, config),
            "layers": [_descriptor(_LAYER_TYPE, layer)],
            "mediaType": _MANIFEST_TYPE,
            "schemaVersion": 2,
        }
    )
    # containerd takes the image's name from the first annotation, other tools from the second.
    names = {
        "io.containerd.image.name": ref,
        "org.opencontainers.image.ref.name": ref.rpartition(":")[2],
    }
    index = {
        "manifests": [{**_descriptor(_MANIFEST_TYPE, manifest), "annotations": names}],
        "mediaType": _INDEX_TYPE,
        "schemaVersion": 2,
    }
    docker = [{"Config": _blob(config), "Layers": [_blob(layer)], "RepoTags": [ref]}]
    return _tar(
        (
            _file("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
            _file("index.json", _json(index)),
            _file("manifest.json", _json(docker)),
            *(_file(_blob(part), part) for part in (manifest, config, layer)),
        )
    )


def manifest_digest(image: bytes | Path) -> str:
    """The digest of the manifest inside an image's tar."""
    source = io.BytesIO(image) if isinstance(image, bytes) else io.BytesIO(image.read_bytes())
    with tarfile.open(fileobj=source) as archive:
        member = archive.extractfile("index.json")
        assert member is not None
        digest: str = json.load(member)["manifests"][0]["digest"]
    return digest


def _store(cache: Path, ref: str, tar: bytes) -> Image:
    """Keep the tar under a name of its content: an old file is never taken for a new one."""
    digest = manifest_digest(tar)
    name = ref.rpartition("/")[2].partition(":")[0]
    path = cache / f"{name}-{digest[7:19]}.tar"
    if _size(path) != len(tar):
        _write(cache, path, tar)
    return Image(ref=ref, path=path, digest=digest)


def _fetch(target: Path) -> None:
    """Have busybox from the distribution's package, without installing it."""
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        # apt drops to its own user for downloads; it may not enter a directory below /root.
        _run(("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "busybox-static"), work)
        packages = tuple(Path(work).glob("busybox-static_*.deb"))
        if not packages:
            raise ArtifactError(
                "busybox-static: apt-get download left no package",
                "install busybox-static and run again",
            )
        _run(("dpkg-deb", "--extract", packages[0].name, "root"), work)
        named = (p for p in (Path(work) / "root").rglob("busybox") if p.is_file())
        found = next((p for p in named if is_static(p.read_bytes())), None)
        if found is None:
            raise ArtifactError(
                f"{packages[0].name}: holds no statically linked busybox",
                "install busybox-static and run again",
            )
        shutil.move(found, target)


def _run(command: tuple[str, ...], where: str) -> None:
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ArtifactError(
            f"{command[0]} cannot be run: {error.strerror}", "install busybox-static and run again"
        ) from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ArtifactError(
            f"busybox-static cannot be had: {' '.join(command)}: {last}",
            "install busybox-static (apt-get install busybox-static) and run again",
        )


def _applets(binary: Path) -> tuple[str, ...]:
    listed = subprocess.run((binary, "--list"), capture_output=True, text=True, check=True).stdout
    return tuple(sorted(set(listed.split()) - {"busybox"}))


def _root(program: bytes, applets: tuple[str, ...]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name, mode in (
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("sys", 0o555),
        ("tmp", 0o1777),
    ):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        yield entry, b""
    yield _file("bin/busybox", program, 0o755)
    for applet in applets:
        entry = tarfile.TarInfo(f"bin/{applet}")
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, "busybox", 0o777
        yield entry, b""
    yield _file("etc/group", _GROUPS.encode())
    yield _file("etc/passwd", _USERS.encode())


def _file(name: str, content: bytes, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    return entry, content


def _tar(entries: Iterator[tuple[tarfile.TarInfo, bytes]] | tuple[Any, ...]) -> bytes:
    """A tar of the entries in their order; owner 0 and time 0 are TarInfo's defaults."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _json(value: Mapping[str, Any] | list[Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(content: bytes) -> str:
    return "blobs/" + _digest(content).replace(":", "/")


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"digest": _digest(content), "mediaType": kind, "size": len(content)}
