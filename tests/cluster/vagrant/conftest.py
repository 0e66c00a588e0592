"""An operator's machine with Vagrant and its LXC provider, for the time of a session.

It is this machine in namespaces of its own (`machine.sh`): nothing is installed on this machine
itself, containers are in its control groups, and all of it ends with one process.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from documented import Page

from installer import artifacts
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.distributions import names
from installer.platforms.sandbox import cgroups
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import ensure_image
from installer.platforms.sandbox.launch import join
from installer.platforms.sandbox.packages import ensure_packages
from romana.lab import leftovers
from romana.lab.exclusive import hold
from romana.lab.namespaces import Lab
from romana.lab.naming import Segment

ROOT = Path(__file__).parents[3]
PAGE = Page("vagrant.md")
PACKAGES = "apt-get install vagrant vagrant-lxc lxc"
BOX = "romana-install lxc-box"
NAME = "romana-pytest-vagrant"
GROUP = f"{NAME}.machine"
NETWORK = IPv4Network("198.18.8.0/24")


@dataclass(frozen=True)
class Machine:
    """The operator's machine, entered by the id of its first process."""

    pid: int
    lab: Lab
    home: Path
    packages: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What commands are told; caches are everybody's."""
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return {
            "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "XDG_CACHE_HOME": cache,
            "VAGRANT_DOTFILE_PATH": str(self.home / "dotfiles"),
            "VAGRANT_DEFAULT_PROVIDER": "lxc",
            "ROMANA_NETWORK": str(NETWORK),
            "ROMANA_PACKAGES": str(self.packages),
            **self.variables,
        }

    def run(
        self, line: str, *options: str, then: str = "", where: Path = ROOT / "vagrant"
    ) -> subprocess.CompletedProcess[str]:
        """A command line, as one would type it in the folder of the Vagrantfile; with options that
        it needs here, or with a line that comes after it in the same shell."""
        command = f"{line} {shlex.join(options)}\n{then}" if options or then else line
        told = [f"{key}={value}" for key, value in self.environment.items()]
        words = (
            "nsenter", "-t", str(self.pid), "--mount", "--pid", f"--net={self.lab.path}", "--",
            "env", "-i", "-C", str(where), *told, "sh", "-c", command,
        )  # fmt: skip
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        PAGE.ran(line, done.returncode)
        return done

    def do(self, line: str, *options: str, then: str = "", where: Path = ROOT / "vagrant") -> str:
        """What a command prints that has to end well."""
        done = self.run(line, *options, then=then, where=where)
        assert done.returncode == 0, f"{line}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def containers(self) -> list[str]:
        """Names of the LXC containers there are."""
        return self.do("lxc-ls -1").split()

    @contextmanager
    def told(self, **variables: str) -> Iterator["Machine"]:
        """The same machine, whose commands are told more."""
        yield replace(self, variables={**self.variables, **variables})


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The machine, with a box, packages for hosts without a way out, and all that is installed in
    the cache."""
    if cgroups.is_unified(cgroups.hierarchies()):
        pytest.skip("LXC's own control groups were made to fit into cgroup v1 only")
    directory = tmp_path_factory.mktemp("vagrant")
    with hold(f"{NAME}-tests"):
        _remove()
        packages = _prepare(directory)
        try:
            lab = _network()
            with _started(directory, lab) as pid:
                home = directory / "work/home"
                yield Machine(pid, lab, home, packages)
        finally:
            _remove()
        assert not leftovers.find(NAME)
        assert not cgroups.named(NAME)


def _prepare(directory: Path) -> Path:
    """Fills the caches, which takes a way out; returns the repository of packages."""

    def heard(event: object) -> None:
        pass

    distribution = read_distribution()
    found = names(distribution.id, distribution.version)
    assert found is not None
    path = f"{ROOT}/.venv/bin:{os.environ['PATH']}"
    subprocess.run(("sh", "-c", BOX), check=True, env={**os.environ, "PATH": path})
    PAGE.ran(BOX, 0)
    image = ensure_image(distribution, heard)
    python = next(path.name.removeprefix("python") for path in image.glob("usr/bin/python3.*[0-9]"))
    cluster = clusters.wanted("vagrant", Wish(name="vagrant"))[0].cluster
    # What a machine without a way out will choose: what can be built.
    nowhere = replace(cluster, state=directory / "state", download_url="http://127.0.0.1:9")
    artifacts.prepare(nowhere, pythons={python}, emit=heard)
    return ensure_packages(image, (*found.base, *found.runtime, *found.etcd), heard)


def _network() -> Lab:
    """LXC's bridge, in a network namespace without a way out."""
    lab = Lab(NAME)
    lab.create()
    lab.ip("link", "add", "lxcbr0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
    gateway: IPv4Interface = Segment(name="lxc", network=NETWORK).gateway
    lab.ip("address", "add", str(gateway), "dev", "lxcbr0")
    lab.ip("link", "set", "lxcbr0", "up")
    return lab


@contextmanager
def _started(directory: Path, lab: Lab) -> Iterator[int]:
    """Runs `machine.sh`; the id of its process on this machine."""
    work = directory / "work"
    work.mkdir()
    script = (
        f'{join(cgroups.make(GROUP).host)}\nexec unshare --mount --pid --fork --kill-child "$@"'
    )
    words = ("sh", str(Path(__file__).with_name("machine.sh")), str(work), str(lab.path), PACKAGES)
    with subprocess.Popen(
        ("sh", "-euc", script, "sh", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if line == "ready\n":
                    PAGE.ran(PACKAGES, 0)
                    break
            else:
                pytest.fail(f"the machine does not start: {''.join(said)}")
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            yield int(children.read_text().split()[0])
        finally:
            process.send_signal(signal.SIGKILL)


def _remove() -> None:
    """What this session or one that was killed has left."""
    for group in {group.name for group in cgroups.named(NAME)}:
        cgroups.kill(group)
        cgroups.remove(group)
    leftovers.remove(NAME)
