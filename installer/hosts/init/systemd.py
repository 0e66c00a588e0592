"""systemd: a Service as a unit file. Directives and quoting are those of systemd.unit(5),
systemd.service(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from installer.resources.service import Service
from installer.resources.shell import quote

_BARE = re.compile(r"[A-Za-z0-9@%+=:,./_{}\[\]*~^-]+")


@dataclass(frozen=True, slots=True)
class Systemd:
    """Units in /etc/systemd/system, which take precedence over a package's of the same name."""

    def path(self, name: str) -> str:
        """Where the unit file lies."""
        return f"/etc/systemd/system/{name}.service"

    def render(self, service: Service) -> str:
        """The unit file."""
        sections = (
            ("Unit", _unit(service)),
            ("Service", _service(service)),
            ("Install", iter([("WantedBy", "multi-user.target")])),
        )
        blocks = (
            f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in lines)
            for name, lines in sections
        )
        return "# Written by romana-install; changes made here are lost.\n" + "\n".join(blocks)

    def state(self, name: str) -> str:
        """One systemctl for both words, and nothing else that would be a process."""
        return (
            f"systemctl show -p UnitFileState -p ActiveState {_unit_name(name)} 2>/dev/null | {{\n"
            "boot=disabled now=inactive\n"
            "while read -r row; do\n"
            "case $row in\n"
            "UnitFileState=enabled) boot=enabled ;;\n"
            "ActiveState=?*) now=${row#*=} ;;\n"
            'esac\ndone\necho "$boot $now"\n}\n'
        )

    def enable(self, name: str) -> str:
        """Reads the unit files again first; the link is made even where the unit was masked."""
        unit = _unit_name(name)
        return (
            f"systemctl daemon-reload\nsystemctl unmask --quiet {unit}\n"
            f"systemctl enable --quiet {unit}\n"
        )

    def disable(self, name: str) -> str:
        """Takes the link of the boot away; what runs goes on."""
        return f"systemctl disable --quiet {_unit_name(name)}\n"

    def forget(self, name: str) -> str:
        """The link of the boot and earlier failures."""
        unit = _unit_name(name)
        return f"systemctl disable --quiet {unit}; systemctl reset-failed {unit}\n"

    def reload(self) -> str:
        """All unit files."""
        return "systemctl daemon-reload\n"

    def start(self, name: str) -> str:
        """Does not wait for readiness, which the service asks for itself."""
        return f"systemctl start --no-block {_unit_name(name)}\n"

    def stop(self, name: str) -> str:
        """Waits until it has stopped."""
        return f"systemctl stop {_unit_name(name)}\n"

    def restart(self, name: str) -> str:
        """Forgets earlier failures, which would count against the start limit."""
        unit = _unit_name(name)
        return f"{{ systemctl reset-failed {unit} 2>/dev/null; systemctl restart {unit}; }}\n"

    def failed(self, name: str) -> str:
        """A unit that systemd restarts for ever never gets here; the timeout ends that."""
        return f"systemctl is-failed --quiet {_unit_name(name)}\n"

    def log(self, name: str, lines: int) -> str:
        """From the journal, or from the unit's status where there is none."""
        unit = _unit_name(name)
        return (
            f"journalctl --no-pager -q -o cat -n {lines} -u {unit} 2>&1 || "
            f"systemctl status --no-pager -n {lines} {unit} 2>&1 || :\n"
        )


def _unit_name(name: str) -> str:
    return quote(f"{name}.service")


def _unit(service: Service) -> Iterator[tuple[str, str]]:
    yield "Description", service.description
    for key, units in (
        ("After", service.after),
        ("Before", service.before),
        ("Wants", service.wants),
    ):
        if units:
            yield key, " ".join(units)
    # Restarting for ever is right for what a cluster is made of: the reason may be another host.
    yield "StartLimitIntervalSec", "0"


def _service(service: Service) -> Iterator[tuple[str, str]]:
    yield "Type", service.type
    if service.user != "root":
        yield "User", service.user
    for name, value in service.environment:
        yield "Environment", _quoted(f"{name}={value}".replace("%", "%%"))
    yield "ExecStart", " \\\n  ".join(word(argument) for argument in service.command)
    if service.type == "oneshot":
        yield "RemainAfterExit", "yes"
    else:
        yield "Restart", "always"
        yield "RestartSec", "1"
    for name, value in service.limits:
        yield f"Limit{name}", value
    yield from service.directives


def word(text: str) -> str:
    """One argument as ExecStart takes it: specifiers and variables are not expanded."""
    return _quoted(text.replace("%", "%%").replace("$", "$$"))


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
