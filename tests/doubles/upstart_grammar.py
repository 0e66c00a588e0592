"""The job files of upstart 1.12 (init(5)), read as strictly as upstart reads them, and then some:
what upstart would accept and nobody can mean is a mistake here too.

Written from init(5) and from what upstart's own parser does with tokens: words are separated by
blanks, `#` begins a comment outside of quotes, a backslash takes the meaning from the next
character (and a newline away), quotes may be single or double, blocks end with `end script` on a
line of its own.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from upstart_text import Mistake, Text

Event = tuple[str, tuple[str, ...]]
Condition = Event | tuple[str, "Condition", "Condition"]
"""An event with what its environment must match, or ("and" | "or", left, right)."""

LIMITS = frozenset(
    ("as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss")
    + ("rtprio", "sigpending", "stack")
)
SIGNALS = {each.name.removeprefix("SIG") for each in signal.Signals}


@dataclass
class Process:
    """What a process of a job runs: a script for sh, or a command."""

    text: str
    script: bool


@dataclass
class Job:
    """A job file's content. `processes` are main, pre-start, post-start, pre-stop, post-stop."""

    name: str
    description: str = ""
    start_on: Condition | None = None
    stop_on: Condition | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    limits: dict[str, tuple[str, str]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    """Every other stanza, with its arguments as one text."""
    respawn: bool = False
    respawn_limit: int = 10
    respawn_interval: int = 5
    kill_timeout: int = 5
    manual: bool = False


def parse(name: str, text: str) -> Job:
    """Read a job file.

    Raises:
        Mistake: it is none.
    """
    job, source = Job(name), Text(text)
    seen: set[str] = set()
    while source.skip(newlines=True):
        line = source.line
        stanza = source.word()
        handler = _STANZAS.get(stanza)
        if handler is None:
            raise source.fail(f"unknown stanza {stanza!r}")
        key = handler(job, source, stanza)
        if key in seen:
            raise Mistake(f"line {line}: {key} is said twice")
        seen.add(key)
        if source.skip(newlines=False):
            raise source.fail(f"{stanza}: nothing more can stand here")
    _whole(job, seen)
    return job


def _whole(job: Job, seen: set[str]) -> None:
    if "respawn limit" in seen and not job.respawn:
        raise Mistake("respawn limit without respawn does nothing")
    if job.respawn and "task" in job.settings:
        raise Mistake("a task that is respawned never ends")
    if job.respawn and "main" not in job.processes:
        raise Mistake("respawn without a main process does nothing")
    if "expect" in job.settings and "main" not in job.processes:
        raise Mistake("expect without a main process hangs")


def _one(source: Text, stanza: str) -> str:
    if not source.skip(newlines=False):
        raise source.fail(f"{stanza}: an argument is missing")
    return source.word()


def _number(source: Text, stanza: str, low: int, high: int) -> int:
    word = _one(source, stanza)
    if not re.fullmatch(r"-?[0-9]+", word) or not low <= int(word) <= high:
        raise source.fail(f"{stanza}: {word!r} is no number from {low} to {high}")
    return int(word)


def _text(job: Job, source: Text, stanza: str) -> str:
    job.settings[stanza] = _one(source, stanza)
    if stanza == "description":
        job.description = job.settings[stanza]
    return stanza


def _choice(*words: str) -> Callable[[Job, Text, str], str]:
    def read(job: Job, source: Text, stanza: str) -> str:
        word = _one(source, stanza)
        if word not in words:
            raise source.fail(f"{stanza}: {word!r} is none of {', '.join(words)}")
        job.settings[stanza] = word
        return stanza

    return read


def _flag(job: Job, source: Text, stanza: str) -> str:
    job.settings[stanza] = ""
    job.manual = job.manual or stanza == "manual"
    return stanza


def _env(job: Job, source: Text, stanza: str) -> str:
    name, equals, value = _one(source, stanza).partition("=")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise source.fail(f"env: {name!r} is no name of a variable")
    if equals:
        job.env[name] = value
    return f"env {name}"


def _several(job: Job, source: Text, stanza: str) -> str:
    words = source.arguments()
    if not words:
        raise source.fail(f"{stanza}: an argument is missing")
    job.settings[stanza] = " ".join(words)
    return stanza


def _exec(job: Job, source: Text, stanza: str) -> str:
    return _process(job, source, "main", "exec")


def _script(job: Job, source: Text, stanza: str) -> str:
    return _process(job, source, "main", "script")


def _hook(job: Job, source: Text, stanza: str) -> str:
    kind = _one(source, stanza)
    if kind not in ("exec", "script"):
        raise source.fail(f"{stanza}: {kind!r} is neither exec nor script")
    return _process(job, source, stanza, kind)


def _process(job: Job, source: Text, process: str, kind: str) -> str:
    if kind == "script":
        job.processes[process] = Process(source.block(process), script=True)
        return process
    start = source.at
    if not source.arguments():
        raise source.fail(f"{process}: exec has no command")
    command = source.text[start : source.at].replace("\\\n", " ").strip()
    job.processes[process] = Process(command, script=False)
    return process


def _on(job: Job, source: Text, stanza: str) -> str:
    if _one(source, stanza) != "on":
        raise source.fail(f"{stanza} is followed by `on`")
    words = []
    depth = 0
    while source.skip(newlines=depth > 0):
        word = source.word(parens=True)
        depth += {"(": 1, ")": -1}.get(word, 0)
        words.append(word)
    condition = _condition(source, iter([*words, ""]))
    if stanza == "start":
        job.start_on = condition
    else:
        job.stop_on = condition
    return f"{stanza} on"


def _condition(source: Text, words: Iterator[str], depth: int = 0) -> Condition:
    """Operators bind alike, from left to right."""
    found, operator = _operand(source, words, depth)
    while operator in ("and", "or"):
        right, following = _operand(source, words, depth)
        found, operator = (operator, found, right), following
    if operator != (")" if depth else ""):
        raise source.fail(f"an operator or the end is missing at {operator!r}")
    return found


def _operand(source: Text, words: Iterator[str], depth: int) -> tuple[Condition, str]:
    word = next(words)
    if word == "(":
        return _condition(source, words, depth + 1), next(words)
    if word in ("", ")", "and", "or"):
        raise source.fail("an event is missing")
    matches = []
    for following in words:
        if following in ("", ")", "and", "or"):
            return (word, tuple(matches)), following
        if following == "(":
            raise source.fail("an operator is missing before a parenthesis")
        matches.append(following)
    raise source.fail("a parenthesis is not closed")


def _respawn(job: Job, source: Text, stanza: str) -> str:
    if not source.skip(newlines=False):
        job.respawn = True
        return stanza
    if _one(source, stanza) != "limit":
        raise source.fail("respawn is followed by nothing or by `limit`")
    source.skip(newlines=False)
    if source.text.startswith("unlimited", source.at):
        source.word()
        job.respawn_limit = job.respawn_interval = 0
        return "respawn limit"
    job.respawn_limit = _number(source, "respawn limit", 0, 1 << 31)
    job.respawn_interval = _number(source, "respawn limit", 0, 1 << 31)
    return "respawn limit"


def _kill(job: Job, source: Text, stanza: str) -> str:
    word = _one(source, stanza)
    if word == "timeout":
        job.kill_timeout = _number(source, "kill timeout", 0, 1 << 31)
    elif word == "signal":
        _signal(source, "kill signal")
    else:
        raise source.fail(f"kill {word!r} is not known")
    return f"kill {word}"


def _reload(job: Job, source: Text, stanza: str) -> str:
    if _one(source, stanza) != "signal":
        raise source.fail("reload is followed by `signal`")
    _signal(source, "reload signal")
    return "reload signal"


def _signal(source: Text, stanza: str) -> None:
    word = _one(source, stanza)
    if word.removeprefix("SIG") not in SIGNALS and not re.fullmatch(r"[0-9]{1,2}", word):
        raise source.fail(f"{stanza}: {word!r} is no signal")


def _normal(job: Job, source: Text, stanza: str) -> str:
    words = source.arguments()
    if words[:1] != ["exit"] or len(words) < 2:
        raise source.fail("normal is followed by `exit` and what is normal")
    for word in words[1:]:
        if word.removeprefix("SIG") not in SIGNALS and not re.fullmatch(r"[0-9]+", word):
            raise source.fail(f"normal exit: {word!r} is neither a signal nor a status")
    job.settings["normal exit"] = " ".join(words[1:])
    return stanza


def _umask(job: Job, source: Text, stanza: str) -> str:
    word = _one(source, stanza)
    if not re.fullmatch(r"0?[0-7]{1,3}", word):
        raise source.fail(f"umask: {word!r} is no mask")
    job.settings[stanza] = word
    return stanza


def _nice(job: Job, source: Text, stanza: str) -> str:
    job.settings[stanza] = str(_number(source, stanza, -20, 19))
    return stanza


def _oom(job: Job, source: Text, stanza: str) -> str:
    low, high = -17, 15
    source.skip(newlines=False)
    if source.text.startswith("score", source.at):
        source.word()
        low, high = -1000, 1000
    source.skip(newlines=False)
    if source.text.startswith("never", source.at):
        job.settings["oom"] = source.word()
    else:
        job.settings["oom"] = str(_number(source, "oom", low, high))
    return stanza


def _limit(job: Job, source: Text, stanza: str) -> str:
    resource = _one(source, stanza)
    if resource not in LIMITS:
        raise source.fail(f"limit: {resource!r} is none of {', '.join(sorted(LIMITS))}")
    soft, hard = _one(source, stanza), _one(source, stanza)
    for value in (soft, hard):
        if value != "unlimited" and not re.fullmatch(r"[0-9]+", value):
            raise source.fail(f"limit {resource}: {value!r} is neither a number nor `unlimited`")
    if soft.isdigit() and hard.isdigit() and int(soft) > int(hard):
        raise source.fail(f"limit {resource}: {soft} is more than {hard}")
    job.limits[resource] = (soft, hard)
    return f"limit {resource}"


def _apparmor(job: Job, source: Text, stanza: str) -> str:
    word = _one(source, stanza)
    if word not in ("load", "switch"):
        raise source.fail(f"apparmor {word!r} is not known")
    job.settings[f"apparmor {word}"] = _one(source, stanza)
    return f"apparmor {word}"


_STANZAS: dict[str, Callable[[Job, Text, str], str]] = {
    **dict.fromkeys(
        ("instance", "description", "author", "version", "usage", "chroot", "chdir"), _text
    ),
    **dict.fromkeys(("setuid", "setgid"), _text),
    **dict.fromkeys(("emits", "export"), _several),
    **dict.fromkeys(("task", "manual", "debug"), _flag),
    **dict.fromkeys(("pre-start", "post-start", "pre-stop", "post-stop"), _hook),
    "env": _env,
    "start": _on,
    "stop": _on,
    "exec": _exec,
    "script": _script,
    "expect": _choice("stop", "daemon", "fork", "none"),
    "console": _choice("logged", "log", "output", "owner", "none"),
    "respawn": _respawn,
    "kill": _kill,
    "reload": _reload,
    "normal": _normal,
    "umask": _umask,
    "nice": _nice,
    "oom": _oom,
    "limit": _limit,
    "apparmor": _apparmor,
}
