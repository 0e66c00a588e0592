"""Downloads from a real HTTP server on loopback: whole, cut, wrong, unreachable."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from installer.artifacts.download import NotThere, Site, Unanswered, download
from installer.errors import ArtifactError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `files`; ends the answer early `cuts` times; understands Range unless told not to."""

    files: dict[str, bytes] = {}
    cuts = 0
    ranges = True
    asked: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        type(self).asked.append((self.path, wanted))
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(content) and wanted:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if type(self).cuts:
            type(self).cuts -= 1
            self.wfile.write(content[start : start + (len(content) - start) // 2])
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    Handler.files, Handler.cuts, Handler.ranges, Handler.asked = {}, 0, True, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Site(url=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def serve(site: Site, content: bytes = CONTENT) -> str:
    Handler.files["/release/v1.34.1/bin/linux/amd64/kubelet"] = content
    return site.file("v1.34.1", "amd64", "kubelet")


def ignore(done: int, total: int) -> None:
    pass


def test_whole_file_arrives_executable_with_progress(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    download(serve(site), tmp_path / "kubelet", SHA256, lambda *each: seen.append(each))
    assert (tmp_path / "kubelet").read_bytes() == CONTENT
    assert (tmp_path / "kubelet").stat().st_mode & 0o777 == 0o755
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["kubelet"]


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_in_the_middle_goes_on(site: Site, tmp_path: Path, ranges: bool) -> None:
    url = serve(site)
    Handler.cuts, Handler.ranges = 2, ranges
    download(url, tmp_path / "kubelet", SHA256, ignore)
    assert (tmp_path / "kubelet").read_bytes() == CONTENT
    assert [bool(wanted) for _, wanted in Handler.asked] == [False, True, True]


def test_cut_again_and_again_is_reported_and_the_part_kept(site: Site, tmp_path: Path) -> None:
    url = serve(site)
    Handler.cuts = 3
    with pytest.raises(Unanswered, match="cut off 3 times"):
        download(url, tmp_path / "kubelet", SHA256, ignore)
    assert not (tmp_path / "kubelet").exists()
    download(url, tmp_path / "kubelet", SHA256, ignore)
    assert Handler.asked[-1][1].startswith("bytes=")


def test_part_of_another_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    (tmp_path / "kubelet.part").write_bytes(b"another" * 1000)
    download(serve(site), tmp_path / "kubelet", SHA256, ignore)
    assert (tmp_path / "kubelet").read_bytes() == CONTENT


def test_complete_part_is_taken(site: Site, tmp_path: Path) -> None:
    (tmp_path / "kubelet.part").write_bytes(CONTENT)
    download(serve(site), tmp_path / "kubelet", SHA256, ignore)
    assert (tmp_path / "kubelet").read_bytes() == CONTENT


def test_wrong_checksum_stops_with_one_line(site: Site, tmp_path: Path) -> None:
    url = serve(site, b"evil")
    with pytest.raises(ArtifactError, match="wrong checksum") as caught:
        download(url, tmp_path / "kubelet", SHA256, ignore)
    assert caught.value.message.startswith(url)
    assert "\n" not in caught.value.message
    assert caught.value.advice
    assert list(tmp_path.iterdir()) == []


def test_missing_file(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NotThere):
        download(site.file("v9", "amd64", "x"), tmp_path / "x", SHA256, ignore)


def test_newest_release(site: Site) -> None:
    Handler.files["/release/stable-1.34.txt"] = b"v1.34.7\n"
    Handler.files["/release/stable-1.33.txt"] = b"<html>captive portal</html>"
    assert site.newest(34) == "v1.34.7"
    for minor in (33, 32):
        with pytest.raises(NotThere):
            site.newest(minor)


def test_published_checksum(site: Site) -> None:
    url = serve(site)
    Handler.files["/release/v1.34.1/bin/linux/amd64/kubelet.sha256"] = f"{SHA256}\n".encode()
    assert site.published_sha256(url) == SHA256
    Handler.files["/release/v1.34.1/bin/linux/amd64/kubelet.sha256"] = b"<html>"
    with pytest.raises(ArtifactError, match="no SHA-256"):
        site.published_sha256(url)


def test_checksum_without_tls_proves_nothing() -> None:
    with pytest.raises(ArtifactError, match="without TLS"):
        Site(url="http://mirror.example").published_sha256("http://mirror.example/kubelet")


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ArtifactError, match="must begin with https"):
        Site(url="file:///etc").newest(34)


def test_closed_port_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        site = Site(url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(Unanswered, match="cannot be reached: Connection refused"):
            site.newest(34)


def test_silent_site_is_given_up_soon() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(Unanswered):
            Site(url=f"http://127.0.0.1:{silent.getsockname()[1]}", connect_s=0.2).newest(34)
        assert time.monotonic() - started < 2
