"""What is laid down on a host with Ubuntu 14.04 in tests: stand-ins that sleep, by the right names
and packed as the real ones are; and what its kubectl answers."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from installer import images
from installer.artifacts.catalogue import KUBERNETES_PROGRAMS, Artifacts, Resolved
from installer.artifacts.checksums import sha256_of
from installer.resources import Manifest, Resource
from installer.resources.manifest import _digest, _key

VERSION = "v1.31.9"
SLEEPER = b"#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 1; done\n"
KUBECTL = b"""#!/bin/sh
# What was applied is there; a node has the label that it is given.
case " $* " in
*" apply "*) cat objects.json >>/run/applied ;;
*" label node "*) echo node-role.kubernetes.io/control-plane= >/run/role ;;
*" get node "*) cat /run/role 2>/dev/null ;;
*" get "*) cat >/dev/null; [ ! -e /run/applied ] || cat /run/rows ;;
esac
"""
CTR = b"""#!/bin/sh
# Images by name, with their labels.
mkdir -p /run/images
[ "$1" = -n ] && shift 2
image=/run/images/${3##*/}
case "$1 $2" in
"images ls") [ ! -e "$image" ] || { echo REF; echo "x $(cat "$image")"; } ;;
"images import") cat >/run/imported ;;
"images label") echo "$4" >"$image" ;;
esac
"""


def _archive(path: Path, **members: bytes) -> Resolved:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_", "-"))
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return _resolved(path)


def _resolved(path: Path, sha256: str = "") -> Resolved:
    return Resolved(name=path.name, version="1.0", path=path, sha256=sha256 or sha256_of(path))


def artifacts(directory: Path, version: str = VERSION) -> Artifacts:
    """What is laid down: sleepers by the right names, packed as the real ones are."""
    programs = {}
    for name in KUBERNETES_PROGRAMS:
        content = KUBECTL if name == "kubectl" else SLEEPER
        path = directory / f"{name}.gz"
        path.write_bytes(gzip.compress(content))
        programs[name] = _resolved(path, hashlib.sha256(content).hexdigest())
    (directory / "runc").write_bytes(SLEEPER)
    (directory / "image.tar").write_bytes(b"layers")
    image = _resolved(directory / "image.tar")
    upstream = {
        "containerd": _archive(
            directory / "containerd.tgz",
            bin__containerd=SLEEPER,
            bin__ctr=CTR,
            bin__containerd_shim_runc_v2=SLEEPER,
        ),
        "runc": _resolved(directory / "runc"),
        "cni-plugins": _archive(
            directory / "cni.tgz",
            **{"./loopback": SLEEPER, "./portmap": SLEEPER, "./bridge": SLEEPER},
        ),
        "etcd": _archive(directory / "etcd.tgz", etcd_v1__etcd=SLEEPER, etcd_v1__etcdctl=SLEEPER),
        "python": _archive(directory / "python.tgz", python__bin__python3=SLEEPER),
    }
    release = _archive(
        directory / "romana.tgz",
        bin__romana=SLEEPER,
        bin__romana_agent=SLEEPER,
        bin__romana_cni=SLEEPER,
    )
    return Artifacts(
        kubernetes=version,
        programs=programs,
        releases={"3.11": release},
        images=tuple(
            Resolved(name=ref, version="1", path=image.path, sha256=image.sha256)
            for ref in (images.PAUSE, images.BUSYBOX)
        ),
        upstream=upstream,
    )


def rows_of(resources: Iterable[Resource]) -> str:
    """How kubectl lists what was applied."""
    found = []
    for each in resources:
        for item in each._objects() if isinstance(each, Manifest) else ():
            kind, namespace, name = _key(item)
            found.append(f"{kind} {namespace or '<none>'} {name} {_digest(item)}\n")
    return "".join(found)
