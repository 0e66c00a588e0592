"""One run at a time for a cluster, whichever machine it comes from: a file on every controller.

`lock` keeps two runs on this machine apart, and ends with its process. This one outlives a run that
was killed, so it names its owner: the next run from the same state directory takes it over without
a word, since `lock` has told that the run before is dead; any other run is refused and told who,
what and since when. It may take the lock over only where its operator says so.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from installer.errors import HostError, InstallerError
from installer.events import Emit, Notice
from installer.hosts.session import Session

PATH = "/var/lib/romana/installer/lock"
_ATTEMPTS = 3
_AGES = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who works on the cluster. `place` is a secret word of the state directory that the run comes
    from; `since` is UTC."""

    place: str
    owner: str
    command: str
    since: str


def place_of(state: Path) -> str:
    """The word by which a state directory knows its own claims; made at first use."""
    path = state / "claims"
    with contextlib.suppress(FileExistsError):
        with path.open("x") as file:
            file.write(secrets.token_hex(8))
        path.chmod(0o600)
    return path.read_text().strip()


@contextlib.contextmanager
def held(
    claim: Claim, controllers: Sequence[Session], emit: Emit, *, take_over: bool = False
) -> Iterator[None]:
    """Holds the cluster's lock on all controllers.

    Args:
        claim: of this run.
        controllers: those that can be reached, always in the same order.
        emit: is told of a lock that was taken over, or could not be given back.
        take_over: take the lock also from a run elsewhere.

    Raises:
        InstallerError: somebody else holds it; says who, what, and since when.
        HostError: a controller is lost.
    """
    with contextlib.ExitStack() as stack:
        for session in controllers:
            before = _take(session, claim, force=take_over)
            stack.callback(_give_back, session, claim, emit)
            if before is not None and before.place != claim.place:
                text = f"{session.host}: took the cluster's lock over from {before.owner}"
                emit(Notice(text=f"{text} ({before.command})", level="warning"))
        yield


def _take(session: Session, claim: Claim, *, force: bool) -> Claim | None:
    """Takes the lock of one controller; the claim that was there before, if one was."""
    for _ in range(_ATTEMPTS):
        output = session.run(_taking(claim, force=force))
        if output.status != 0:
            why = output.last_lines(1)
            raise HostError(session.host, f"{session.host}: cannot be locked: {why}", "mend that")
        answer = output.stdout
        if not answer.startswith("held "):
            return None
        age, _, text = answer.removeprefix("held ").partition("\n")
        if text.strip():  # or its owner gave it back between two looks
            break
    before = _read(text)
    if force or before.place == claim.place:
        return before
    raise InstallerError(
        f"the cluster is being worked on by {before.owner} ({before.command}), "
        f"since {before.since} UTC, {_words(int(age))} ago; nothing was changed",
        "wait for that run to end; if it is dead, take the lock over: --take-over",
    )


def _taking(claim: Claim, *, force: bool) -> str:
    """Sh that makes the lock whole or not at all, by a hard link, and prints one that is there."""
    mine = f'grep -qsF {shlex.quote(_mark(claim.place))} "$lock"'
    replace = "true" if force else mine
    return f"""\
set -eu
lock={PATH}
mkdir -p "${{lock%/*}}"
trap 'rm -f "$lock.$$"' EXIT
printf '%s\\n' {shlex.quote(json.dumps(asdict(claim)))} >"$lock.$$"
ln "$lock.$$" "$lock" 2>/dev/null || {{
  [ -e "$lock" ] || {{ ln "$lock.$$" "$lock"; exit; }}
  echo "held $(($(date +%s) - $(stat -c %Y "$lock" || date +%s)))"
  cat "$lock" || :
  ! {replace} || mv -f "$lock.$$" "$lock"
}}
"""


def _give_back(session: Session, claim: Claim, emit: Emit) -> None:
    """Removes the lock, if it is still this run's."""
    mark = shlex.quote(_mark(claim.place))
    try:
        session.run(f"! grep -qsF {mark} {PATH} || rm -f {PATH}")
    except HostError as error:
        text = f"{session.host}: the cluster's lock could not be given back ({error.message})"
        emit(Notice(text=f"{text}; the next run from here takes it over", level="warning"))


def _mark(place: str) -> str:
    return f'"place": {json.dumps(place)}'


def _read(text: str) -> Claim:
    try:
        return Claim(**json.loads(text))
    except (ValueError, TypeError):
        return Claim(place="", owner="somebody", command="unknown", since="an unknown time")


def _words(seconds: int) -> str:
    """A span of time in its largest unit: "3 hours"."""
    for length, unit in _AGES:
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' * (count != 1)}"
    return "0 seconds"
