"""A headless Chromium that opens one page, by its own protocol over a pipe.

The protocol (Chrome DevTools Protocol) is JSON with a zero byte behind each message, on the file
descriptors 3 and 4 of the browser (`--remote-debugging-pipe`).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium-headless-shell", "chromium")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_FIRST_FREE = 10
_LIMIT_S = 600
_COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


@dataclass
class Page:
    """A tab."""

    to: int
    of: Any
    session: str = ""
    complaints: list[dict] = field(default_factory=list)
    """What the console has shown."""
    requests: list[str] = field(default_factory=list)
    """URLs that were asked for."""
    _number: int = 0
    _events: set[str] = field(default_factory=set)

    def call(self, method: str, **parameters: object) -> dict:
        """One call of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, path: Path) -> None:
        """Show a file, to the end of its loading."""
        self._events.clear()
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._next()
        self.value("document.fonts.ready.then(() => true)")

    def value(self, script: str) -> Any:
        """What a script comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Change the window's inside."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def media(self, name: str) -> None:
        """`print`, or the screen with an empty name."""
        self.call("Emulation.setEmulatedMedia", media=name)

    def screenshot(self) -> bytes:
        """All of the page, as PNG."""
        return base64.b64decode(
            self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        )

    def pdf(self) -> bytes:
        """The page on paper of A4."""
        answer = self.call(
            "Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69
        )
        return base64.b64decode(answer["data"])

    def _next(self) -> dict:
        raw = bytearray()
        while (byte := self.of.read(1)) != b"\0":
            assert byte, "the browser has ended"
            raw += byte
        message = json.loads(raw)
        event = message.get("method", "")
        self._events.add(event)
        if event in _COMPLAINTS:
            self.complaints.append(message["params"])
        if event == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message


def program() -> str | None:
    """The browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def browser() -> Iterator[Page]:
    """A page, for as long as the block."""
    orders, answers = os.pipe(), os.pipe()
    # bash moves them to 3 and 4 (sh knows no larger numbers): they must not be there before.
    high = [
        fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for each in (orders[0], answers[1])
    ]
    for each in (orders[0], answers[1]):
        os.close(each)
    name = program()
    assert name is not None, "no Chromium is installed"
    with tempfile.TemporaryDirectory() as profile, os.fdopen(answers[0], "rb") as of:
        words = (name, *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe")
        line = f"exec {shlex.join(words)} 3<&{high[0]} 4>&{high[1]}"
        process = subprocess.Popen(
            ("timeout", "--foreground", str(_LIMIT_S), "bash", "-c", line),
            pass_fds=high,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in high:
            os.close(each)
        try:
            yield _page(orders[1], of)
        finally:
            os.close(orders[1])
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the browser with all its processes: they write to its directory."""
    limit = time.monotonic() + _LIMIT_S
    with suppress(ProcessLookupError):
        while time.monotonic() < limit:
            os.killpg(process.pid, signal.SIGKILL)
            process.poll()
            time.sleep(0.02)
    process.wait()


def _page(to: int, of: Any) -> Page:
    page = Page(to, of)
    target = page.call("Target.createTarget", url="about:blank")["targetId"]
    page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.call(f"{domain}.enable")
    return page
