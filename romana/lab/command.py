"""Commands on this machine, run to their end: one line of error, no traceback."""

from __future__ import annotations

import subprocess


class LabError(Exception):
    """A lab cannot be made, or a command in it failed: one line, with the command's last words."""


def execute(
    words: tuple[str, ...], *, stdin: str = "", timeout_s: float = 60.0, check: bool = True
) -> str:
    """Run a command and return its standard output.

    Raises:
        LabError: it is not installed, ended with an error (unless `check` is off), or not in time.
    """
    try:
        done = subprocess.run(
            words, input=stdin, text=True, capture_output=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise LabError(f"{words[0]} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(words)}: no end within {timeout_s:g} s") from None
    if check and done.returncode:
        raise LabError(failure(words, done.returncode, done.stderr or done.stdout))
    return done.stdout


def ip(*words: str) -> str:
    """iproute2's `ip`; its standard output.

    Raises:
        LabError: it failed.
    """
    return execute(("ip", *words))


def failure(words: tuple[str, ...], code: int, output: str) -> str:
    """One line on a failed command, with the last lines it printed."""
    last = "; ".join(output.strip().splitlines()[-3:])
    return f"{' '.join(words)}: exit {code}: {last}"
