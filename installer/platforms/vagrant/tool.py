"""Vagrant itself, through python-vagrant: each call is one run of the program, its output heard
line by line, its failure explained."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from installer.errors import PlatformError
from installer.platforms.vagrant.faults import explain
from installer.platforms.vagrant.machines import Active, Machine, choose_key


class _Vagrant(Protocol):
    """What is used of python-vagrant, which has no types."""

    def up(
        self, vm_name: str | None, *, provider: str, provision: bool, stream_output: bool
    ) -> Iterator[str]: ...

    def status(self) -> list[_Status]: ...

    def conf(self, *, vm_name: str) -> dict[str, str]: ...

    def ssh(self, vm_name: str, command: str) -> str: ...

    def destroy(self, vm_name: str) -> None: ...


class _Status(Protocol):
    name: str
    state: str | None


Result = TypeVar("Result")
_HOST_KEYS = "cat /etc/ssh/ssh_host_*_key.pub"


class Tool:
    """Calls of Vagrant in one folder.

    Args:
        folder: where the Vagrantfile is.
        environment: of the program.

    Raises:
        PlatformError: Vagrant is not installed.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        if shutil.which("vagrant") is None:
            raise PlatformError(
                "Vagrant is not installed",
                "install it (Debian: apt-get install vagrant), or use romana-install sandbox, "
                "which needs nothing else",
            )
        self._folder = folder
        self._environment = dict(environment)

    def up(self, name: str | None, provider: str, heard: Callable[[str], None]) -> None:
        """Makes and starts a machine, or all that start by themselves.

        Raises:
            PlatformError: with what Vagrant's words mean.
        """

        def work(vagrant: _Vagrant) -> None:
            lines = vagrant.up(name, provider=provider, provision=False, stream_output=True)
            for line in lines:
                heard(line.rstrip())

        self._call("vagrant up", work, heard)

    def states(self) -> dict[str, str]:
        """The state of each machine of the Vagrantfile, in Vagrant's word: "not_created".

        Raises:
            PlatformError: with what Vagrant's words mean.
        """
        statuses = self._call("vagrant status", lambda vagrant: vagrant.status())
        return {status.name: str(status.state) for status in statuses if status.name}

    def learn(self, name: str, active: Active) -> Machine:
        """How to log in on a machine that runs, and its host key, asked for over Vagrant's own way
        in.

        Raises:
            PlatformError: with what Vagrant's words mean.
        """

        def work(vagrant: _Vagrant) -> Machine:
            conf = vagrant.conf(vm_name=name)
            return Machine(
                id=active.id,
                provider=active.provider,
                user=conf["User"],
                key=conf["IdentityFile"],
                host_key=choose_key(name, vagrant.ssh(name, _HOST_KEYS).splitlines()),
            )

        return self._call(f"vagrant ssh {name}", work)

    def destroy(self, name: str) -> None:
        """Removes a machine. One that is gone already is fine.

        Raises:
            PlatformError: with what Vagrant's words mean.
        """
        self._call(f"vagrant destroy {name}", lambda vagrant: vagrant.destroy(name))

    def _call(
        self,
        doing: str,
        work: Callable[[_Vagrant], Result],
        heard: Callable[[str], None] = lambda line: None,
    ) -> Result:
        """One call; what it writes is kept in a file until it is known how it ended."""
        from vagrant import Vagrant  # says so itself where the program is missing

        with tempfile.TemporaryFile() as errors:

            @contextlib.contextmanager
            def into() -> Iterator[Any]:
                yield errors

            make: Callable[..., _Vagrant] = Vagrant
            vagrant = make(root=str(self._folder), env=self._environment, out_cm=into, err_cm=into)
            try:
                return work(vagrant)
            except subprocess.CalledProcessError as error:
                errors.seek(0)
                said = errors.read() + (error.output or b"")
                text = said.decode(errors="replace")
                for line in text.splitlines():
                    heard(line)
                raise explain(doing, text) from None
            except (LookupError, ValueError) as error:
                raise PlatformError(
                    f"{doing}: its answer cannot be read: {error!r}",
                    f"see what it says: cd {self._folder} && {doing}",
                ) from error
