"""upstart: a Service as a job file, and the initctl that drives it. Stanzas are those of init(5) of
upstart 1.12, which Ubuntu 14.04 has; how it behaves is that release's own source.

What systemd does by itself and upstart does not, a job says in so many words:

- network: rc-sysinit emits `runlevel` once every interface of /etc/network/interfaces is up (or has
  been given up), so that `start on runlevel` comes after the network. Two events joined by `and`
  would not start the job again after a visit to single-user mode.
- After=: a pre-start waits until those jobs run, if they are to run, and no longer than a limit.
- Type=notify: a post-start asks whether the service is ready; until then it is not `start/running`.
- RestartSec=: upstart respawns at once, and gives up after `respawn limit`; a post-stop that pauses
  makes that a new try every second, for ever, and the limit is what is left if there is no pause.
- A oneshot that remains is a job whose pre-start is all there is.

`expect` is never used: our programs stay in the foreground, and a wrong guess hangs `start` for
good. Output goes to /var/log/upstart/NAME.log, which logrotate keeps for a week.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from installer.errors import InstallerError
from installer.resources.service import Service
from installer.resources.shell import quote

RESPAWN_LIMIT, RESPAWN_INTERVAL_S = 10, 5
STOP_LIMIT_S = 90
"""How long a program may take to end before it is killed, where the service does not say. systemd's
default; upstart's own are 5 seconds."""
ORDER_LIMIT_S = 60
"""How long a job waits for those it comes after."""
_STARTABLE = "runlevel [2345]"
_SUFFIX = ".service"
_NO_STANZA = frozenset(
    (
        "Delegate",  # upstart makes no cgroups
        "KillMode",  # it signals the process group of the main process, which a container leaves
        "NoNewPrivileges",  # nothing in Ubuntu 14.04 sets it for a program
        "TasksMax",
        "TimeoutStartSec",
    )
)
"""Directives that upstart has nothing for, and that it does not need or cannot have."""


@dataclass(frozen=True, slots=True)
class Upstart:
    """Jobs in /etc/init. A job that is not to start at boot has `manual` in NAME.override."""

    def path(self, name: str) -> str:
        """Where the job file lies."""
        return f"/etc/init/{name}.conf"

    def render(self, service: Service) -> str:
        """The job file.

        Raises:
            InstallerError: the service asks for what upstart cannot do.
        """
        head = "# Written by romana-install; changes made here are lost."
        lines = (head, f'description "{_text(service.description)}"', "", *_stanzas(service))
        return "".join(f"{line}\n" for line in lines)

    def state(self, name: str) -> str:
        """What initctl says, and whether an override keeps it from starting at boot."""
        return (
            f"{{ case $({_status(name)}) in\n"
            '*" start/running"*) running=active ;;\n*" start/"*) running=activating ;;\n'
            "*) running=inactive ;;\nesac\n"
            f"if [ -e {quote(self.path(name))} ] && ! grep -qsx 'manual' {_override(name)}; then\n"
            'echo "enabled $running"\nelse echo "disabled $running"; fi; }\n'
        )

    def enable(self, name: str) -> str:
        """Takes `manual` out of the override, and leaves what else is in it."""
        override = _override(name)
        return (
            f"if [ -e {override} ]; then\nsed -i '/^manual$/d' {override}\n"
            f"[ -s {override} ] || rm -f {override}\nfi\ninitctl reload-configuration\n"
        )

    def disable(self, name: str) -> str:
        """Puts `manual` into the override; what runs goes on."""
        override = _override(name)
        return (
            f"grep -qsx 'manual' {override} || echo manual >>{override}\n"
            "initctl reload-configuration\n"
        )

    def forget(self, name: str) -> str:
        """A job starts at boot because its file is there: nothing else is to be undone."""
        return ":\n"

    def reload(self) -> str:
        """All job files."""
        return "initctl reload-configuration\n"

    def start(self, name: str) -> str:
        """Does not wait: readiness is asked for by the service."""
        return (
            f'{{ case $({_status(name)}) in\n*" start/"*) ;;\n'
            f"*) initctl start --no-wait {quote(name)} >/dev/null ;;\nesac; }}\n"
        )

    def stop(self, name: str) -> str:
        """Waits until it has stopped, also where it was stopping already."""
        waiting = f"{_status(name)} | grep -q ' stop/waiting$'"
        return (
            # A job that stops by itself meanwhile makes this fail; whether it has is asked next.
            f"{{ initctl stop {quote(name)} >/dev/null 2>&1 || :\n"
            f"left={STOP_LIMIT_S}\nuntil {waiting} || [ $left -eq 0 ]; do\n"
            f"left=$((left - 1))\nsleep 1\ndone\n{waiting}; }}\n"
        )

    def restart(self, name: str) -> str:
        """Stops and starts: initctl's own restart would run the job file as it was when it last
        started."""
        known = f"{_status(name)} >/dev/null"
        # Where the job file is not understood, initctl start says so.
        stop, start = self.stop(name).strip(), self.start(name).strip()
        return f"{{ {{ ! {known} ||\n{stop}; }} &&\n{start}; }}\n"

    def failed(self, name: str) -> str:
        """Its pre-start failed, or it was respawned too often: it is to stop."""
        return f"! {_status(name)} | grep -qv ' stop/waiting$'\n"

    def log(self, name: str, lines: int) -> str:
        """From the file that upstart writes."""
        return f"tail -n {lines} {quote(f'/var/log/upstart/{name}.log')} 2>&1 || :\n"


def _status(name: str) -> str:
    return f"initctl status {quote(name)} 2>/dev/null"


def _override(name: str) -> str:
    return quote(f"/etc/init/{name}.override")


def _stanzas(service: Service) -> Iterator[str]:
    directives = dict(service.directives)
    if unknown := directives.keys() - _NO_STANZA - {"OOMScoreAdjust", "TimeoutStopSec"}:
        raise InstallerError(
            f"{service.name}: upstart has nothing for {', '.join(sorted(unknown))}",
            "this is a fault of the installer; please report it",
        )
    yield f"start on {_STARTABLE}"
    yield f"stop on {_STARTABLE.replace('[', '[!')}"
    yield ""
    if service.type != "oneshot":
        yield "respawn"
        yield f"respawn limit {RESPAWN_LIMIT} {RESPAWN_INTERVAL_S}"
    yield f"kill timeout {directives.get('TimeoutStopSec', STOP_LIMIT_S)}"
    yield "console log"
    yield from _surroundings(service, directives)
    yield from _processes(service)


def _surroundings(service: Service, directives: Mapping[str, str]) -> Iterator[str]:
    if service.user != "root":
        yield f"setuid {service.user}"
        yield f"setgid {service.user}"
    if "OOMScoreAdjust" in directives:
        yield f"oom score {directives['OOMScoreAdjust']}"
    for name, value in service.limits:
        limit = "unlimited" if value == "infinity" else value
        yield f"limit {name.lower()} {limit} {limit}"
    for name, value in service.environment:
        yield f'env {name}="{_text(value)}"'


def _processes(service: Service) -> Iterator[str]:
    before = [name.removesuffix(_SUFFIX) for name in service.after if name.endswith(_SUFFIX)]
    order = tuple(_wait_for(before)) if before else ()
    if service.type == "oneshot":
        yield from _script("pre-start script", (*order, *_command(service, run="")))
        return
    if order:
        yield from _script("pre-start script", order)
    yield from _script("script", _command(service, run="exec "))
    # The questions are root's: they read keys.
    if service.type == "notify" and service.ready and service.user == "root":
        yield from _script("post-start script", _wait_until_ready(service))
    yield from _script("post-stop script", _pause())


def _script(stanza: str, lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    yield ""
    yield stanza
    yield from (f"  {line}" for line in lines)
    yield "end script"


def _command(service: Service, run: str) -> Iterator[str]:
    """The text of a script is handed to sh as it is: only sh's quoting counts."""
    if any("\n" in word for word in service.command):
        raise InstallerError(f"{service.name}: a job's argument cannot have two lines")
    first, *rest = [quote(word) for word in service.command]
    lines = [f"{run}{first}", *(f"  {word}" for word in rest)]
    yield from (f"{line} \\" for line in lines[:-1])
    yield lines[-1]


def _wait_for(jobs: list[str]) -> Iterator[str]:
    yield f"for job in {' '.join(quote(job) for job in jobs)}; do"
    yield f"  left={ORDER_LIMIT_S}"
    yield "  while [ $left -gt 0 ]; do"
    yield '    case $(initctl status "$job" 2>/dev/null) in'
    yield '      *" start/running"* | *" stop/"* | "") break ;;'
    yield "    esac"
    yield "    left=$((left - 1))"
    yield "    sleep 1"
    yield "  done"
    yield "done"


def _wait_until_ready(service: Service) -> Iterator[str]:
    # As long as a post-start runs, upstart does not respawn a main process that has died.
    yield "main=$(initctl status \"$UPSTART_JOB\" | sed -n '1s/.*, process \\([0-9]*\\)$/\\1/p')"
    yield f"left={service.ready_timeout_s}"
    yield "until ("
    yield from (f"  {line}" for line in service.ready.strip().splitlines())
    yield ") >/dev/null 2>&1; do"
    yield '  { kill -0 "$main" 2>/dev/null && [ $left -gt 0 ]; } || break'
    yield "  left=$((left - 1))"
    yield "  sleep 1"
    yield "done"


def _pause() -> Iterator[str]:
    yield 'case $(initctl status "$UPSTART_JOB" 2>/dev/null) in'
    yield '  *" stop/"*) ;;'
    yield "  *) sleep 1 ;;"
    yield "esac"


def _text(value: str) -> str:
    """What stands between double quotes in a job file."""
    if "\n" in value:
        raise InstallerError(f"a job file cannot hold a text of two lines: {value!r}")
    return value.replace("\\", "\\\\").replace('"', '\\"')
