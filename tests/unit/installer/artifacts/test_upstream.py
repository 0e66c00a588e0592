"""Programs of other projects: had from a site of the projects' own layout, checked, recorded; what
stops a run."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uv

from installer.artifacts.checksums import Lock, sha256_of
from installer.artifacts.download import Site
from installer.artifacts.fetch import Depot
from installer.artifacts.romana_release import REQUIREMENTS
from installer.artifacts.upstream import PYTHON, UPSTREAM, bring
from installer.errors import ArtifactError

NAMES = tuple(UPSTREAM)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A mirror with everything, and its directory."""
    root = tmp_path / "mirror"
    for name, item in UPSTREAM.items():
        path = root / item.place(item.path, "amd64").replace("%2B", "+")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {item.version}")
        sums = root / item.place(item.sums, "amd64")
        # A list of many files, or one line; with the name, or the digest alone.
        sums.write_text(f"{'0' * 64}  other\n{sha256_of(path)} *{path.name}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", root
    server.shutdown()
    thread.join()
    server.server_close()


def depot(tmp_path: Path) -> Depot:
    return Depot(
        cache=tmp_path / "cache",
        site=Site(url="http://127.0.0.1:1"),
        lock=Lock(tmp_path / "artifacts.lock"),
        emit=lambda event: None,
    )


def test_had_once_and_then_from_the_cache(tmp_path: Path, site: tuple[str, Path]) -> None:
    url, _ = site
    had = bring(NAMES, url, "amd64", depot(tmp_path))
    assert {name: had[name].path.read_text() for name in had} == {
        name: f"{name} {item.version}" for name, item in UPSTREAM.items()
    }
    recorded = (tmp_path / "artifacts.lock").read_text()
    assert f"upstream/python/{UPSTREAM['python'].version}/amd64" in recorded
    assert bring(NAMES, "http://127.0.0.1:1", "amd64", depot(tmp_path)) == had
    assert bring((), "http://127.0.0.1:1", "amd64", depot(tmp_path)) == {}


def test_a_digest_alone_is_a_list_too(tmp_path: Path, site: tuple[str, Path]) -> None:
    url, root = site
    item = UPSTREAM["runc"]
    digest = sha256_of(root / item.place(item.path, "amd64"))
    (root / item.place(item.sums, "amd64")).write_text(f"{digest}\n")
    assert bring(["runc"], url, "amd64", depot(tmp_path))["runc"].sha256 == digest


def test_another_file_than_the_first_time_is_refused(
    tmp_path: Path, site: tuple[str, Path]
) -> None:
    url, root = site
    bring(["etcd"], url, "amd64", depot(tmp_path))
    cached = next((tmp_path / "cache/upstream/etcd").rglob("*.tar.gz"))
    cached.write_text("something else")
    with pytest.raises(ArtifactError, match="wrong checksum"):
        bring(["etcd"], url, "amd64", depot(tmp_path))
    # Nor does a site that has changed its mind get past the lock.
    cached.unlink()
    item = UPSTREAM["etcd"]
    changed = root / item.place(item.path, "amd64")
    changed.write_text("evil")
    (root / item.place(item.sums, "amd64")).write_text(f"{sha256_of(changed)}  {changed.name}\n")
    with pytest.raises(ArtifactError, match="wrong checksum"):
        bring(["etcd"], url, "amd64", depot(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("remove the file", "runc 1.1.15 cannot be had"),
        ("remove the sums", "runc 1.1.15 cannot be had"),
        ("other sums", "there is no SHA-256 checksum of runc.amd64"),
        ("other file", "wrong checksum"),
    ],
)
def test_what_stops_a_run(tmp_path: Path, site: tuple[str, Path], spoil: str, says: str) -> None:
    url, root = site
    item = UPSTREAM["runc"]
    file, sums = (root / item.place(each, "amd64") for each in (item.path, item.sums))
    if spoil == "remove the file":
        file.unlink()
    elif spoil == "remove the sums":
        sums.unlink()
    elif spoil == "other sums":
        sums.write_text(f"{'0' * 64}  runc.arm64\n")
    else:
        file.write_text("evil")
    with pytest.raises(ArtifactError, match=says) as caught:
        bring(["runc"], url, "amd64", depot(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "artifacts.lock").exists()


def test_a_checksum_without_tls_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="upstream_url|without TLS"):
        bring(["runc"], "http://mirror.example.net", "amd64", depot(tmp_path))


def test_the_python_is_one_that_the_locked_uv_knows() -> None:
    """uv carries a table of python-build-standalone's archives: ours is in it, of that version."""
    item = UPSTREAM["python"]
    assert item.version.startswith(f"{PYTHON}.")
    every = ("--all-versions", "--all-platforms", "--all-arches", "--offline", "--no-config")
    said = subprocess.run(
        [uv.find_uv_bin(), "python", "list", *every, "--output-format", "json", item.version],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    urls = {row["url"].partition("/releases/")[2] for row in json.loads(said) if row["url"]}
    ours = {item.place(item.path, each).partition("/releases/")[2] for each in ("amd64", "arm64")}
    assert ours <= urls


def test_every_wheel_of_the_agent_has_a_form_for_old_c_libraries(tmp_path: Path) -> None:
    """manylinux2014 asks for glibc 2.17, and Ubuntu 14.04 has 2.19. uv is asked for exactly that,
    without installing; a lock without such wheels fails here before a release does."""
    locked = re.findall(r"^([a-z0-9-]+)==", REQUIREMENTS.read_text(), re.MULTILINE)
    assert "aiohttp" in locked
    for machine in ("x86_64", "aarch64"):
        done = subprocess.run(
            [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--dry-run"]
            + ["--target", str(tmp_path / machine), "--require-hashes", "--only-binary", ":all:"]
            + ["--python-version", PYTHON, "--python-platform", f"{machine}-manylinux_2_17"]
            + ["-r", str(REQUIREMENTS)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
