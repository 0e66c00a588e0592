"""A long-running program under the host's init system."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from typing import Literal, Protocol

from installer.resources.base import Change, Payload, Resource
from installer.resources.condition import wait_for
from installer.resources.file import unified
from installer.resources.records import STAMPS, departure, left, put_back
from installer.resources.shell import (
    digest_of,
    install_file,
    quote,
    read_stamp,
    sha256,
    short,
    sum_of,
    write_stamp,
)

LOG_LINES = 20
"""How much of a service's log is shown when it does not become ready."""


class Init(Protocol):
    """An init system: one renderer of Service values and the few words of sh that drive it. See
    hosts/init."""

    def path(self, name: str) -> str:
        """Where the service's definition lies."""

    def render(self, service: Service) -> str:
        """The definition's text."""

    def state(self, name: str) -> str:
        """Sh text that prints two words: enabled or disabled, and active, failed or inactive."""

    def enable(self, name: str) -> str:
        """Sh text that makes the init system read the definition, and start the service at boot."""

    def disable(self, name: str) -> str:
        """Sh text that keeps the service from starting at boot; what runs goes on."""

    def start(self, name: str) -> str:
        """Sh text that has the service started if it does not run, without waiting for it."""

    def stop(self, name: str) -> str:
        """Sh text that stops the service, and ends when it has stopped."""

    def forget(self, name: str) -> str:
        """Sh text that undoes `enable`, before the definition is taken away."""

    def reload(self) -> str:
        """Sh text that reads all definitions again."""

    def restart(self, name: str) -> str:
        """Sh text that starts the service, or restarts it if it runs, as its definition is now."""

    def failed(self, name: str) -> str:
        """Sh text that succeeds once the init system has given up on the service."""

    def log(self, name: str, lines: int) -> str:
        """Sh text that prints the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs, starts at boot, and runs with its present inputs.

    When it has started and is ready, the host records the digest of its definition and of
    `restart_on`. A run that finds another digest restarts it: also the run after one that was
    killed between the two.

    Args:
        name: of the unit, without suffix. A unit of the same name from a package is replaced
            entirely.
        init: the host's init system, from `installer.hosts.init.of(facts)`.
        description: what it is, in a few words.
        command: program (absolute path) and arguments; nothing is expanded.
        environment: (name, value).
        after: units that start earlier if they start at all; `before` and `wants` likewise.
        limits: (name, value) of setrlimit, as systemd names them: ("NOFILE", "1048576").
        type: "notify" for a program that reports its readiness itself.
        directives: further lines of the unit's [Service] section, (name, value), where the init
            system knows them.
        restart_on: resources it reads when it starts.
        ready: sh text whose exit status says whether it serves; the default is that it runs.
        ready_timeout_s: how long it may take.
    """

    name: str
    _: KW_ONLY
    init: Init
    description: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    after: tuple[str, ...] = ("network-online.target",)
    before: tuple[str, ...] = ()
    wants: tuple[str, ...] = ("network-online.target",)
    user: str = "root"
    limits: tuple[tuple[str, str], ...] = ()
    type: Literal["simple", "notify", "oneshot"] = "simple"
    directives: tuple[tuple[str, str], ...] = ()
    restart_on: tuple[Resource, ...] = ()
    ready: str = ""
    ready_timeout_s: int = 60

    @property
    def id(self) -> str:
        """`service:NAME`."""
        return f"service:{self.name}"

    @property
    def digest(self) -> str:
        """Covers the definition and the inputs."""
        inputs = [f"{resource.id} {resource.digest}" for resource in self.restart_on]
        return digest_of(self.id, self.init.render(self), *inputs)

    @property
    def _stamp(self) -> str:
        return f"{STAMPS}/services/{self.name}"

    @property
    def _was(self) -> str:
        return f"{STAMPS}/services.before/{self.name}"

    def probe(self) -> str:
        """Prints the definition's digest, the recorded inputs, the state, and the definition if it
        differs."""
        path = quote(self.init.path(self.name))
        wanted = sha256(self.init.render(self).encode())
        return (
            f"{sum_of(self.init.path(self.name))}"
            f"{read_stamp('stamp', self._stamp)}"
            f"state=$({self.init.state(self.name).strip()})\n"
            'echo "$sum $stamp $state"\n'
            f'if [ "$sum" != absent ] && [ "$sum" != {wanted} ]; then cat {path}; fi\n'
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Writes the definition, enables and restarts: each only where needed."""
        first, _, old = seen.partition("\n")
        sum_, stamp, enabled, active, *_ = [*first.split(), *["none"] * 4]
        text = self.init.render(self)
        rewritten = sum_ != sha256(text.encode())
        inputs = [item.id for item in self.restart_on if item.id in changing]
        stale = stamp != self.digest or bool(inputs)
        if not rewritten and not stale and enabled == "enabled" and active == "active":
            return None
        restart = rewritten or stale or active != "active"
        reason = _why(rewritten, sum_, inputs, stale and active == "active")
        return Change(
            before=f"{active} {enabled}{reason}",
            after="restarted" if restart and active == "active" else "active enabled",
            diff=unified(self.init.path(self.name), old, text) if rewritten else "",
            prepare=f"rm -f {quote(self._stamp)}\n" if restart else "",
            repair=self._repair(rewritten, restart),
            files=(Payload(name="unit", content=text.encode()),) if rewritten else (),
            timeout_s=self.ready_timeout_s + 120,
        )

    def _repair(self, rewritten: bool, restart: bool) -> str:
        path = self.init.path(self.name)
        write = install_file("unit", path, mode=0o644, owner="root:root") if rewritten else ""
        enable = self.init.enable(self.name)
        if not restart:
            return self._keep() + write + enable
        running = f"{self.init.state(self.name).strip()} | grep -q ' active$'"
        log = f"echo 'its log ends:'\n{self.init.log(self.name, LOG_LINES)}"
        late = f"{self.name} was not ready within {self.ready_timeout_s} s"
        return (
            f"{self._keep()}{write}{enable}rm -f {quote(self._stamp)}\n"
            f"if ! {self.init.restart(self.name).strip()}; then\n"
            f"echo {quote(f'{self.name} did not start')}\n{log}exit 1\nfi\n"
            + wait_for(
                f"{running} || exit 1\n{self.ready}",
                timeout_s=self.ready_timeout_s,
                failed=f"echo {quote(late)}\n{log}",
                stop=self.init.failed(self.name),
            )
            + write_stamp(self._stamp, self.digest)
        )

    def _keep(self) -> str:
        """Records once how a service of this name was before."""
        return (
            f"[ -e {quote(self._was)} ] || {{ mkdir -p {STAMPS}/services.before\n"
            f"{self.init.state(self.name).strip()} >{quote(self._was)}\n}}\n"
        )

    def left(self) -> str:
        """Whether its definition is ours, and how it was before."""
        return f"(\n{left(self.init.path(self.name))})\ncat {quote(self._was)} 2>/dev/null || :\n"

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """Stopped, its definition removed; one that was there before is as it was again."""
        enabled, active = "enabled" in seen.split(), "active" in seen.split()
        init, name = self.init, self.name
        known = f"[ -e {quote(init.path(name))} ]"
        again = (
            init.enable(name) if enabled else f"! {known} || {{ {init.disable(name).strip()}; }}\n"
        )
        return departure(
            seen,
            f"if ! {init.state(name).strip()} | grep -q ' inactive$'; then\n{init.stop(name)}fi\n"
            f"{{ {init.forget(name).strip()}; }} 2>/dev/null || :\n"
            f"{put_back(init.path(name))}{init.reload()}{again}"
            f"{init.start(name) if active else ''}"
            f"rm -f {quote(self._stamp)} {quote(self._was)}\n",
            timeout_s=180,
        )


def _why(rewritten: bool, sum_: str, inputs: list[str], stale: bool) -> str:
    if rewritten:
        return "" if sum_ == "absent" else f", unit {short(sum_)}"
    if inputs:
        more = f" and {len(inputs) - 2} more" if len(inputs) > 2 else ""
        return f", {', '.join(inputs[:2])}{more} changed"
    return ", started with other inputs" if stale else ""
