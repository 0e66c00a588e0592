"""Becoming root on a host, with or without a password.

Without one, `sudo -n` runs the command in the same round trip. With one, sudo is told to ask with a
prompt of ours; the password goes out when the prompt has come, and the script follows only when the
command has said that it runs: a password that sudo did not ask for would be taken for the script,
and a script for a password that it refused. The password is on no command line and in no message.
"""

from __future__ import annotations

import secrets
import select
import shlex
import time

from paramiko import Channel

from installer.cluster import Host
from installer.errors import CommandFailed
from installer.hosts.session import CHUNK, Output

ANSWER_S = 30.0
"""sudo may ask a directory server; a wrong password costs a few seconds."""
_WANTED = ("a password is required", "authentication is required")
"""What sudo -n says for want of a password; sudo-rs has the second."""


def plain(host: Host, command: str) -> str:
    """The command line that runs `command` (sh text) as root, where no password is asked for."""
    # sudo's message is read, so it has to be in English.
    become = "" if host.ssh.user == "root" else "env LC_ALL=C sudo -n "
    return f"exec {become}sh -c {shlex.quote(command)}"


def wants_password(output: Output) -> bool:
    """Whether a command of `plain` did not run because sudo wants a password."""
    said = output.stderr.strip()
    return output.status == 1 and not output.stdout and said.endswith(_WANTED)


def refused(host: Host) -> CommandFailed:
    """The error where a password is wanted and none is at hand."""
    return CommandFailed(
        host.name,
        f"{host.name}: sudo wants a password of {host.ssh.user}",
        "give it: --ask-sudo-password, --sudo-password-file FILE, or sudo_password_file in the "
        "inventory",
    )


def begin(channel: Channel, host: Host, command: str, timeout_s: float) -> None:
    """Starts `command` (sh text) as root. When it returns, the command runs and its standard input
    is the channel's.

    Args:
        channel: open, with nothing run yet.
        host: whose user and password it is.
        command: what to run.
        timeout_s: limit for all of it.

    Raises:
        CommandFailed: sudo does not take the password, or does not let the user become root.
        TimeoutError: no answer.
    """
    assert host.ssh.sudo_password is not None
    password = host.ssh.sudo_password()
    mark = f"romana-{secrets.token_hex(8)}"
    prompt, runs = f"{mark}? ".encode(), f"{mark}!\n".encode()
    inner = shlex.quote(f"echo '{mark}!'\n{command}")
    channel.exec_command(f"exec env LC_ALL=C sudo -S -p '{mark}? ' sh -c {inner}")
    deadline = time.monotonic() + min(timeout_s, ANSWER_S)
    out, err, answered = b"", b"", False
    while runs not in out:
        more_out, more_err, ended = _heard(channel, deadline)
        out, err = out + more_out, err + more_err
        asked = err.count(prompt)
        if asked > 1 or (ended and answered):
            raise CommandFailed(
                host.name,
                f"{host.name}: sudo does not take the password of {host.ssh.user}"
                + _reason(err, prompt),
                "check the password, and that the user may use sudo",
            )
        if ended:
            raise CommandFailed(
                host.name,
                f"{host.name}: {host.ssh.user} cannot become root{_reason(err, prompt)}",
                "let the user use sudo, or log in as another",
            )
        if asked and not answered:
            channel.sendall(f"{password}\n".encode())
            answered = True


def _heard(channel: Channel, deadline: float) -> tuple[bytes, bytes, bool]:
    """What came next on standard output and error, and whether that was the end."""
    if not select.select([channel], [], [], max(0.0, deadline - time.monotonic()))[0]:
        raise TimeoutError
    out = channel.recv(CHUNK) if channel.recv_ready() else b""
    err = channel.recv_stderr(CHUNK) if channel.recv_stderr_ready() else b""
    ended = not out and not err and bool(channel.eof_received or channel.closed)
    return out, err, ended


def _reason(err: bytes, prompt: bytes) -> str:
    """sudo's last words, which may be none."""
    lines = err.replace(prompt, b"").decode(errors="replace").strip().splitlines()
    said = [line.removeprefix("sudo: ").strip() for line in lines if line.startswith("sudo: ")]
    return f": {said[-1]}" if said else ""
