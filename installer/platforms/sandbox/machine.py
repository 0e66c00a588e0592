"""One host of the sandbox: made, started, stopped, rebooted, removed.

Each may be called again after a run that was killed anywhere.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from installer.errors import PlatformError
from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import cgroups
from installer.platforms.sandbox.content import LINKS
from installer.platforms.sandbox.identity import Seed, login, seeds
from installer.platforms.sandbox.launch import Launch, data_directory, supervise
from installer.platforms.sandbox.packages import MOUNT
from romana.lab.namespaces import Lab, Namespace
from romana.lab.naming import Segment

BINDS = ("/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet")
"""Paths that are plain directories of this machine: containerd's overlays cannot sit on an overlay,
and etcd is to feel a real fsync."""

BOOT_LIMIT_S = 60.0
ANSWER_LIMIT_S = 5.0
"""For a host that runs already."""
STOP_LIMIT_S = 20.0
_POLL_S = 0.05
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MODULES = Path("/lib/modules")
_POWEROFF = signal.SIGRTMIN + 4
"""What systemd takes as PID 1 for `systemctl poweroff` (systemd(1))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host. The value is its name and place; its state is on disk and in the kernel.

    Args:
        lab: the cluster's lab.
        hostname: the host's name in the inventory.
        address: its address on its segment.
        directory: all its files on this machine.
        segment: the layer 2 network that it is on, if that is not the lab's default.
    """

    lab: Lab
    hostname: str
    address: IPv4Address
    directory: Path
    segment: Segment | None = None

    @property
    def namespace(self) -> Namespace:
        """Its network namespace; the name is also its control groups' and machine name."""
        return self.lab.member(self.hostname)

    @property
    def exists(self) -> bool:
        """Whether it was made to the end."""
        return (self.directory / "made").exists()

    @property
    def running(self) -> bool:
        """Whether its init runs."""
        return self.leader is not None

    @property
    def leader(self) -> int | None:
        """The process id, on this machine, of its init."""
        for pid in cgroups.processes(self.namespace.name):
            if _is_init(pid):
                return pid
        return None

    @property
    def host_key(self) -> str:
        """The public line of its SSH key, as made here: to be pinned."""
        return (self.directory / "ssh_host_ed25519_key.pub").read_text().strip()

    @property
    def console(self) -> Path:
        """What it printed while it booted."""
        return self.directory / "console.log"

    def ensure(self, image: Path, packages: Path, user_public: str) -> None:
        """Make it if it is not there, start it if it does not run, let the key's owner log in.

        Raises:
            PlatformError: it ends while it boots, or does not answer in time.
        """
        if not self.exists:
            self._make(image, user_public)
        self._place(login(user_public))
        if self.running:
            self.await_ssh(ANSWER_LIMIT_S)
        else:
            self.start(packages)
            self.await_ssh()

    def start(self, packages: Path) -> None:
        """Boot it, in a session of its own that outlives this process; what was left of an earlier
        life is ended first."""
        self._end()
        self.lab.ensure()
        image = Path((self.directory / "made").read_text().strip())
        if not image.is_dir():
            raise PlatformError(
                f"host {self.hostname}: its base root file system {image} is gone",
                "destroy the cluster and make it again",
            )
        (self.directory / "pid").unlink(missing_ok=True)
        seats = cgroups.make(self.namespace.name)
        script = supervise(self._launch(image, packages, seats))
        with self.console.open("ab") as console:
            subprocess.run(
                ("setsid", "--fork", "sh", "-eu", "-c", script),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                check=True,
            )

    def await_ssh(self, limit_s: float = BOOT_LIMIT_S) -> None:
        """Wait until sshd greets.

        Raises:
            PlatformError: the host ended while it booted, or does not greet in time.
        """
        limit = time.monotonic() + limit_s
        while not self._greets():
            if self._ended():
                raise PlatformError(f"host {self.hostname} ended while booting{self._last_words()}")
            if time.monotonic() > limit:
                raise PlatformError(
                    f"host {self.hostname}: no SSH on {self.address} within {limit_s:g} s"
                    f"{self._last_words()}",
                    f"read {self.console}",
                )
            time.sleep(_POLL_S)

    def stop(self, *, orderly: bool = True) -> None:
        """Switch it off: by its init, or by pulling the plug. Its network namespace goes too."""
        leader = self.leader
        if orderly and leader is not None:
            with suppress(ProcessLookupError):
                os.kill(leader, _POWEROFF)
            limit = time.monotonic() + STOP_LIMIT_S
            while self.running and time.monotonic() < limit:
                time.sleep(_POLL_S)
        self._end()
        self.namespace.delete()

    def reboot(self, packages: Path, *, orderly: bool = True) -> None:
        """Switch it off and on; files stay, everything in the kernel goes. Waits for SSH."""
        self.stop(orderly=orderly)
        self.start(packages)
        self.await_ssh()

    def remove(self) -> None:
        """End it and remove all that it has on this machine. Absent is fine."""
        self._end()
        cgroups.remove(self.namespace.name)
        self.namespace.delete()
        (self.directory / "made").unlink(missing_ok=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _make(self, image: Path, user_public: str) -> None:
        if self.directory.exists():
            self.remove()
        for name in ("root", "upper", "work"):
            (self.directory / name).mkdir(parents=True)
        for path in BINDS:
            data_directory(self.directory, path).mkdir(parents=True)
        key = self.directory / "ssh_host_ed25519_key"
        public = ensure_key(key)
        identity = seeds(
            hostname=self.hostname,
            machine_id=uuid.uuid4().hex,
            host_key=key.read_text(),
            host_public=public,
            user_public=user_public,
        )
        for seed in identity:
            self._place(seed)
        for path, target in LINKS:
            link = self.directory / "upper" / path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        (self.directory / "made").write_text(f"{image}\n")

    def _place(self, seed: Seed) -> None:
        """Write a file: through the host's own root while it runs, else into its upper layer."""
        leader = self.leader
        root = Path(f"/proc/{leader}/root") if leader else self.directory / "upper"
        path = root / seed.path.lstrip("/")
        if path.exists() and path.read_text() == seed.text:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if "root" in seed.path else 0o755)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(seed.text)
        temporary.chmod(seed.mode)
        temporary.rename(path)

    def _launch(self, image: Path, packages: Path, seats: cgroups.Seats) -> Launch:
        module = "romana.lab.host"
        place = [self.lab.name, str(self.lab.default.network), self.hostname, str(self.address)]
        if self.segment is not None:
            place += [self.segment.name, str(self.segment.network)]
        modules = ((_MODULES, str(_MODULES)),) if _MODULES.is_dir() else ()
        return Launch(
            name=self.namespace.name,
            hostname=self.hostname,
            directory=self.directory,
            image=image,
            namespace=self.namespace.path,
            network=(sys.executable, "-m", module, *place),
            seats=seats,
            unified=cgroups.is_unified(cgroups.hierarchies()),
            binds=BINDS,
            shared=((packages, MOUNT), *modules),
        )

    def _greets(self) -> bool:
        try:
            with self.lab.connect(self.address, 22, timeout_s=1.0) as link:
                link.settimeout(5.0)
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def _ended(self) -> bool:
        try:
            pid = (self.directory / "pid").read_text().strip()
        except FileNotFoundError:
            return False
        return bool(pid) and not Path(f"/proc/{pid}").exists()

    def _last_words(self) -> str:
        text = _COLOUR.sub("", self.console.read_text(errors="replace"))
        lines = [" ".join(line.split()) for line in text.strip().splitlines()[-3:]]
        return ": " + "; ".join(lines) if lines else ""

    def _end(self) -> None:
        cgroups.kill(self.namespace.name)


def _is_init(pid: int) -> bool:
    """Whether it is process 1 of a namespace directly below ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            inner = line.split()[2:]
            return inner == ["1"]
    return False
