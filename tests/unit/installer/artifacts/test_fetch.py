"""Where Kubernetes' binaries come from: cache, download, build; what is recorded; what stops a
run."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from installer import releases
from installer.artifacts import debian_build, fetch
from installer.artifacts.catalogue import KUBERNETES_PROGRAMS
from installer.artifacts.checksums import Lock, read_sums, require, sha256_of, write_sums
from installer.artifacts.choice import Choice, choose, chosen, record
from installer.artifacts.download import Site
from installer.artifacts.fetch import Depot
from installer.cluster import Cluster, Host, Network
from installer.errors import ArtifactError
from installer.events import Event, Notice, Progress

NEWEST = f"v1.{releases.NEWEST}.3"
CLOSED = Site(url="http://127.0.0.1:1")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """A download site with one release, and its directory."""
    root = tmp_path / "mirror"
    folder = root / "release" / NEWEST / "bin/linux/amd64"
    folder.mkdir(parents=True)
    (root / f"release/stable-1.{releases.NEWEST}.txt").write_text(NEWEST)
    for name in KUBERNETES_PROGRAMS:
        (folder / name).write_text(f"{name} of {NEWEST}" * 100)
        (folder / f"{name}.sha256").write_text(sha256_of(folder / name))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Site(url=f"http://127.0.0.1:{server.server_port}"), folder
    server.shutdown()
    thread.join()
    server.server_close()


def cluster(state: Path, kubernetes: str = "auto") -> Cluster:
    return Cluster(
        name="t",
        platform="static",
        kubernetes=kubernetes,
        network=Network(
            pods=IPv4Network("10.112.0.0/12"),
            services=IPv4Network("10.96.0.0/16"),
            hosts=IPv4Network("198.18.0.0/24"),
        ),
        hosts=(Host(name="c1", address=IPv4Address("198.18.0.11"), groups=("controller",)),),
        state=state,
    )


def depot(tmp_path: Path, site: Site, events: list[Event]) -> Depot:
    lock = Lock(tmp_path / "state" / "artifacts.lock")
    return Depot(cache=tmp_path / "cache", site=site, lock=lock, emit=events.append)


def built(version: str, out: Path, work: Path, emit: object) -> None:
    """Stands for the compiler, which takes minutes: files and sums as the build script leaves
    them."""
    out.mkdir(parents=True)
    for name in KUBERNETES_PROGRAMS:
        (out / name).write_text(f"{name} built")
    sums = {name: sha256_of(out / name) for name in KUBERNETES_PROGRAMS}
    write_sums(out / "SHA256SUMS", sums)


def test_newest_is_downloaded_checked_recorded_and_then_cached(
    tmp_path: Path, mirror: tuple[Site, Path]
) -> None:
    site, folder = mirror
    events: list[Event] = []
    wanted = cluster(tmp_path / "state")
    choice, found = depot(tmp_path, site, events).kubernetes(
        choose(wanted, site, events.append), "amd64"
    )
    record(wanted, choice)
    assert choice == Choice(version=NEWEST, source="download")
    assert found["kubelet"].path.read_bytes() == (folder / "kubelet").read_bytes()
    assert found["kubelet"].sha256 == sha256_of(folder / "kubelet")
    assert any(isinstance(event, Notice) and NEWEST in event.text for event in events)
    lock = read_sums(tmp_path / "state" / "artifacts.lock")
    assert lock[f"kubernetes/{NEWEST}/amd64/kubelet"] == sha256_of(folder / "kubelet")
    # The site is gone: choice and files are kept.
    again, cached = depot(tmp_path, CLOSED, events).kubernetes(
        choose(wanted, CLOSED, events.append), "amd64"
    )
    assert (again, cached) == (choice, found)


def test_auto_is_the_newest_that_hosts_can_run(tmp_path: Path, mirror: tuple[Site, Path]) -> None:
    site, _ = mirror
    (tmp_path / "mirror/release/stable-1.31.txt").write_text("v1.31.9")
    wanted = cluster(tmp_path / "state")
    assert choose(wanted, site, lambda event: None).version == NEWEST
    assert choose(wanted, site, lambda event: None, newest=31).version == "v1.31.9"


def test_a_published_checksum_that_does_not_fit_stops_the_run(
    tmp_path: Path, mirror: tuple[Site, Path]
) -> None:
    site, folder = mirror
    (folder / "kube-proxy.sha256").write_text(hashlib.sha256(b"else").hexdigest())
    with pytest.raises(ArtifactError, match="kube-proxy: wrong checksum"):
        depot(tmp_path, site, []).kubernetes(Choice(version=NEWEST, source="download"), "amd64")


def test_the_lock_file_outranks_the_site(tmp_path: Path, mirror: tuple[Site, Path]) -> None:
    site, folder = mirror
    choice = Choice(version=NEWEST, source="download")
    place = depot(tmp_path, site, [])
    place.lock.record(f"kubernetes/{NEWEST}/amd64/kubelet", sha256_of(folder / "kubelet"))
    (folder / "kubelet").write_text("changed")
    (folder / "kubelet.sha256").write_text(sha256_of(folder / "kubelet"))
    with pytest.raises(ArtifactError, match="kubelet: wrong checksum"):
        place.kubernetes(choice, "amd64")


def test_a_cached_file_that_changed_stops_the_run(
    tmp_path: Path, mirror: tuple[Site, Path]
) -> None:
    site, _ = mirror
    choice, found = depot(tmp_path, site, []).kubernetes(
        Choice(version=NEWEST, source="download"), "amd64"
    )
    found["kubelet"].path.write_text("tampered")
    with pytest.raises(ArtifactError, match="wrong checksum"):
        depot(tmp_path, site, []).kubernetes(choice, "amd64")


def test_unreachable_is_said_before_the_build_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "build", built)
    events: list[Event] = []
    wanted = cluster(tmp_path / "state")
    choice, found = depot(tmp_path, CLOSED, events).kubernetes(
        choose(wanted, CLOSED, events.append), "amd64"
    )
    assert choice == Choice(version=debian_build.BUILDABLE, source="build")
    warnings = [e.text for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert len(warnings) == 1
    assert "Connection refused" in warnings[0]
    assert "built from Debian's source" in warnings[0]
    assert found["kubelet"].path.read_text() == "kubelet built"


def test_named_buildable_version_is_built_when_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "build", built)
    events: list[Event] = []
    wanted = cluster(tmp_path / "state", debian_build.BUILDABLE)
    choice = choose(wanted, CLOSED, events.append)
    assert choice.source == "download"
    choice, _ = depot(tmp_path, CLOSED, events).kubernetes(choice, "amd64")
    assert choice.source == "build"


def test_other_version_that_cannot_be_had(tmp_path: Path) -> None:
    choice = Choice(version="v1.33.1", source="download")
    with pytest.raises(ArtifactError, match=r"v1\.33\.1 cannot be had") as caught:
        depot(tmp_path, CLOSED, []).kubernetes(choice, "amd64")
    assert debian_build.BUILDABLE in caught.value.advice


def test_version_that_does_not_exist(tmp_path: Path, mirror: tuple[Site, Path]) -> None:
    choice = Choice(version="v1.30.99", source="download")
    with pytest.raises(ArtifactError, match="no such file"):
        depot(tmp_path, mirror[0], []).kubernetes(choice, "amd64")


@pytest.mark.parametrize("version", ["v1.19.4", "v1.99.0", "1.20", "latest"])
def test_unsupported_version_is_refused_with_advice(tmp_path: Path, version: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        choose(cluster(tmp_path, version), CLOSED, lambda event: None)
    assert "v1." in caught.value.message


def test_an_explicit_version_replaces_the_recorded_one(tmp_path: Path) -> None:
    wanted = cluster(tmp_path / "state")
    record(wanted, Choice(version="v1.20.2", source="build"))
    assert chosen(wanted) == Choice(version="v1.20.2", source="build")
    assert choose(wanted, CLOSED, lambda event: None).version == "v1.20.2"
    named = replace(wanted, kubernetes="v1.33.0")
    assert choose(named, CLOSED, lambda event: None).version == "v1.33.0"


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    digest = sha256_of(path)
    require(path, digest, "test")
    times = path.stat()
    path.write_text("y")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    require(path, digest, "test")
    path.write_text("yy")
    with pytest.raises(ArtifactError):
        require(path, digest, "test")


def test_build_reports_steps_and_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.sh"
    script.write_text('echo "step 1/3 install"; echo noise; echo "step 2/3 compile"; exit $FAIL')
    monkeypatch.setattr(debian_build, "SCRIPT", script)
    monkeypatch.setattr(debian_build, "_require_able", lambda version: None)
    events: list[Event] = []
    monkeypatch.setenv("FAIL", "0")
    debian_build.build("v1.20.2", tmp_path / "out", tmp_path / "work", events.append)
    steps = [(e.done, e.total) for e in events if isinstance(e, Progress)]
    assert steps == [(0, 3), (1, 3), (1, 1)]
    # One name for all: it is one bar on a terminal, and long enough for a line elsewhere.
    assert len({e.what for e in events if isinstance(e, Progress)}) == 1
    monkeypatch.setenv("FAIL", "3")
    with pytest.raises(ArtifactError, match="failed: step 2/3 compile") as caught:
        debian_build.build("v1.20.2", tmp_path / "out", tmp_path / "work", events.append)
    assert str(tmp_path / "work" / "build.log") in caught.value.advice
