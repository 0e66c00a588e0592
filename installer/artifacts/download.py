"""Downloads over HTTP: quick to find out that nobody answers, resumed where they were cut, checked
before they are used."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from installer.artifacts.checksums import require, sha256_of
from installer.errors import ArtifactError

CONNECT_S = 4.0
"""How long a site may take to say its first word before it counts as unreachable."""
STALL_S = 30.0
_CHUNK = 1 << 18
_TRIES = 3
_LIST_BYTES = 4 << 20
_DIGEST = re.compile(r"^[0-9a-f]{64}\b")

Advance = Callable[[int, int], None]
"""Receives bytes done and bytes in total, 0 where the total is unknown."""


class Unanswered(Exception):
    """The site cannot be reached: no name, no route, no answer in time. Its text says which."""


class NotThere(Exception):
    """The site answers, but has no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A download site in the layout of the Kubernetes project's own.

    `release/VERSION/bin/linux/ARCH/NAME` with `NAME.sha256` beside it; `release/stable-1.NN.txt`
    names the newest patch release of a minor release.
    """

    url: str
    connect_s: float = CONNECT_S

    def file(self, version: str, architecture: str, name: str) -> str:
        """The URL of a binary."""
        return f"{self.url.rstrip('/')}/release/{version}/bin/linux/{architecture}/{name}"

    def newest(self, minor: int) -> str:
        """The newest patch release of 1.`minor`.

        Raises:
            Unanswered: the site cannot be reached.
            NotThere: it knows no such release.
        """
        text = self._text(f"{self.url.rstrip('/')}/release/stable-1.{minor}.txt").strip()
        if not re.fullmatch(rf"v1\.{minor}\.\d+", text):
            raise NotThere(f"{self.url} does not say what the newest v1.{minor} is")
        return text

    def published_sha256(self, url: str) -> str:
        """The checksum that the site publishes beside a file.

        Raises:
            Unanswered, NotThere: as for any file.
            ArtifactError: the way to the site is open to tampering, or the answer is no checksum.
        """
        _require_trust(url, "download_url")
        found = _DIGEST.match(self._text(f"{url}.sha256"))
        if not found:
            raise ArtifactError(f"{url}.sha256: this is no SHA-256 checksum")
        return found.group()

    def _text(self, url: str) -> str:
        with _open(url, self.connect_s) as answer:
            return answer.read(4096).decode("ascii", "replace")


def listed_sha256(sums: str, url: str) -> str:
    """The checksum of a file in a list that a site publishes, in lines as sha256sum writes them.

    Args:
        sums: the list's URL.
        url: the file's.

    Raises:
        Unanswered, NotThere: as for any file.
        ArtifactError: the way to the site is open to tampering, or the list does not have the file.
    """
    _require_trust(sums, "upstream_url")
    wanted = unquote(url.rpartition("/")[2])
    with _open(sums, CONNECT_S) as answer:
        lines = answer.read(_LIST_BYTES).decode("ascii", "replace").splitlines()
    for line in lines:
        digest, *names = line.split()[:2] or [""]
        if _DIGEST.match(digest) and (not names or names[0].lstrip("*") == wanted):
            return digest
    raise ArtifactError(f"{sums}: there is no SHA-256 checksum of {wanted}")


def download(url: str, target: Path, sha256: str, advance: Advance) -> None:
    """Fetch a file, whole and checked, or not at all.

    What arrives is kept in `TARGET.part`; a later try goes on from there. A part that turns out to
    belong to another file is thrown away and fetched afresh, once.

    Raises:
        Unanswered: the site cannot be reached, or went silent repeatedly.
        NotThere: the site has no such file.
        ArtifactError: the file is not what its checksum says.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.exists()
    _receive(url, part, advance)
    if resumed and sha256_of(part) != sha256:
        part.unlink()
        _receive(url, part, advance)
    try:
        require(part, sha256, f"the checksum of {url}")
    except ArtifactError as error:
        part.unlink()
        raise ArtifactError(
            error.message.replace(str(part), url), "do not trust this site; nothing was installed"
        ) from None
    finally:
        part.with_name(f".{part.name}.verified").unlink(missing_ok=True)
    part.chmod(0o755)
    part.replace(target)


def _receive(url: str, part: Path, advance: Advance) -> None:
    """Receive into `part` from where it ends, in a few tries."""
    cut = ""
    for _ in range(_TRIES):
        try:
            if _receive_once(url, part, advance):
                return
            cut = "the connection was closed early"
        except (TimeoutError, ConnectionError, HTTPException) as error:
            cut = str(error) or type(error).__name__
    raise Unanswered(f"{url}: cut off {_TRIES} times: {cut}")


def _receive_once(url: str, part: Path, advance: Advance) -> bool:
    """Receive until the answer ends; whether it was whole."""
    start = part.stat().st_size if part.exists() else 0
    with _open(url, STALL_S, start) as answer:
        if answer.status == 416:
            # Nothing after where we are: the part is whole already, or another file's; its
            # checksum tells.
            return True
        if answer.status != 206:
            start = 0
        length = answer.length
        total = start + (length or 0) if length is not None else 0
        done = start
        with part.open("ab" if start else "wb") as stream:
            while chunk := answer.read1(_CHUNK):
                stream.write(chunk)
                done += len(chunk)
                advance(done, total)
    return total == 0 or done == total


def _open(url: str, timeout_s: float, start: int = 0) -> HTTPResponse:
    """The answer to a GET. Looking up a name has no time limit of its own in Python, so a thread
    that can be left behind
    does it."""
    box: list[HTTPResponse | Exception] = []

    def ask() -> None:
        headers = {"User-Agent": "romana-install"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310
            answer = urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310
            box.append(cast(HTTPResponse, answer))
        except (OSError, HTTPException) as error:
            box.append(error)

    _require_http(url)
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s * 1.5)
    if not box:
        raise Unanswered(f"{_site(url)} did not answer within {timeout_s * 1.5:.0f} s")
    answer = box[0]
    if isinstance(answer, urllib.error.HTTPError):
        if answer.code == 416:
            return cast(HTTPResponse, answer)
        answer.close()
        if answer.code in (404, 410):
            raise NotThere(f"{url}: the site has no such file")
        raise Unanswered(f"{_site(url)} answered {answer.code} {answer.reason}")
    if isinstance(answer, Exception):
        raise Unanswered(f"{_site(url)} cannot be reached: {_reason(answer)}")
    return answer


def _require_trust(url: str, key: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ArtifactError(
            f"{url}: no checksum is pinned, and one fetched without TLS proves nothing",
            f"use an https:// {key}, or bring an artifacts.lock into the state directory",
        )


def _require_http(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ArtifactError(f"{url}: download_url must begin with https:// (or http://)")


def _site(url: str) -> str:
    return urlsplit(url).netloc


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", "") or str(inner) or type(error).__name__
