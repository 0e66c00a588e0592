"""The sandbox's root file system, packed into a bundle: a machine without a cache boots hosts from
it that are like those of the machine that made it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.artifacts.checksums import sha256_of
from installer.bundle import layout
from installer.bundle.contents import FORMAT, Manifest, Member
from installer.bundle.signature import Trust
from installer.bundle.unpacking import open_bundle
from installer.errors import PlatformError
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import image_path, packed_image
from romana.version import VERSION

NAME = "pytest-boxed"


def bundle_of(image: Path, path: Path) -> Path:
    """A bundle with the root file system alone."""
    member = Member(
        name=f"sandbox/{image.name}",
        kind="sandbox",
        item=image.name.removesuffix(".tar.gz"),
        version="1",
        size=image.stat().st_size,
        sha256=sha256_of(image),
        origin="made here",
    )
    manifest = Manifest(
        format=FORMAT,
        romana=VERSION,
        kubernetes="v1.20.2",
        source="build",
        architecture="amd64",
        systems=("debian-12",),
        packages=False,
        members=(member,),
    )
    layout.write(path, manifest, b"", {member.name: image}, lambda done, total: None)
    return path


def files_of(root: Path) -> Iterator[tuple[object, ...]]:
    """All that a root file system holds, with owners, modes and capabilities."""
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted((*names, *files)):
            path = Path(folder, name)
            status = path.lstat()
            size = status.st_size if not path.is_dir() or path.is_symlink() else 0
            attributes = {
                each: os.getxattr(path, each, follow_symlinks=False)
                for each in os.listxattr(path, follow_symlinks=False)
                if each.startswith("security.")
            }
            times = int(status.st_mtime)
            rights = (status.st_mode, status.st_uid, status.st_gid)
            yield str(path.relative_to(root)), *rights, size, times, attributes


def test_hosts_boot_from_a_bundle_where_there_is_no_cache(make_cluster, tmp_path, monkeypatch):
    distribution = read_distribution()
    original = image_path(distribution)
    file = bundle_of(packed_image(distribution, lambda event: None), tmp_path / "site.tar")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = open_bundle(file, Trust(anyone=True), lambda event: None)
    with make_cluster(NAME, tmp_path / "state", nodes=0, bundle=bundle) as made:
        copy = image_path(distribution)
        assert copy.parent != original.parent
        assert list(files_of(copy)) == list(files_of(original))
        assert made.ssh("controller", "systemctl is-system-running --wait").strip() == "running"
        made.platform.reboot(made.cluster, "controller")
        assert made.ssh("controller", "ls /var/cache/romana/packages") == ""


def test_a_bundle_without_a_root_file_system_says_so(make_cluster, tmp_path, monkeypatch):
    distribution = read_distribution()
    packed = packed_image(distribution, lambda event: None)
    other = tmp_path / "debian-other-amd64-0.tar.gz"
    other.symlink_to(packed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = open_bundle(
        bundle_of(other, tmp_path / "site.tar"), Trust(anyone=True), lambda event: None
    )
    with (
        pytest.raises(PlatformError, match="the bundle has no root file system"),
        make_cluster(NAME, tmp_path / "state", nodes=0, bundle=bundle),
    ):
        pass
