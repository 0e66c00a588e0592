"""Commands on this machine whose failure the operator has to see."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path

from installer.errors import PlatformError


def follow(
    words: tuple[str, ...], log: Path, heard: Callable[[str], None], *, what: str, lock: int
) -> None:
    """Run a long command; its output goes to a log, each line also to `heard`.

    Args:
        words: the command.
        log: receives standard output and error; named when the command fails.
        heard: called with every line.
        what: what the command is for, for the message.
        lock: a locked descriptor to hand down: the lock lasts while an orphaned command works on.

    Raises:
        PlatformError: it ended with an error.
    """
    last: deque[str] = deque(maxlen=4)
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as record,
        subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(lock,),
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                record.write(line)
                last.append(line.strip())
                heard(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise PlatformError(
            f"{what} failed: {words[0]} ended with {process.returncode}: {'; '.join(last)}",
            f"read {log}, remove the cause and run again",
        )


def output(words: tuple[str, ...], *, what: str) -> str:
    """Standard output of a short command.

    Raises:
        PlatformError: it is missing or ended with an error.
    """
    try:
        done = subprocess.run(words, text=True, capture_output=True, check=False, timeout=120)
    except FileNotFoundError:
        raise PlatformError(f"{what}: {words[0]} is not installed", "run make setup") from None
    except subprocess.TimeoutExpired:
        raise PlatformError(f"{what}: {' '.join(words)} does not end") from None
    if done.returncode:
        last = "; ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise PlatformError(f"{what}: {words[0]} ended with {done.returncode}: {last}")
    return done.stdout
