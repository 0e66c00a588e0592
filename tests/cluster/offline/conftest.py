"""A bundle's two sides: one with everything that this machine has, where it is made, and a site
without any way out, with a bare server and an operator who has nothing but the file and a key.

The server is one of the sandbox's machines, but the installer is told nothing of that. It has an
archive in its own apt sources that does not answer, as servers of such sites have.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from desk import Desk, on, silent
from documented import Page

from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import leftovers, preconditions
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import ensure_image
from installer.platforms.sandbox.leftovers import HOSTS, prefix_of
from installer.platforms.sandbox.machine import Machine
from installer.platforms.sandbox.packages import no_packages
from installer.platforms.sandbox.storage import ensure_storage
from romana.lab.exclusive import hold
from romana.lab.namespaces import Lab

NAME = "pytest-offline"
ADDRESS, DESK = "198.18.0.10", "198.18.0.9"
PAGE = Page("operations.md", section="Install without a network")
INVENTORY = f"""\
cluster: {{name: site, kubernetes: v1.20.2}}
network: {{pods: 10.112.0.0/12, services: 10.96.0.0/16}}
vars: {{user: root, key: .ssh/id_ed25519}}
hosts:
  alpha: {{address: {ADDRESS}}}
groups: {{controller: [alpha], nodes: [alpha]}}
"""
DEAD_ARCHIVE = "deb http://198.18.0.99/debian bookworm main"


class Here:
    """This machine as it is, as a place for a desk."""

    def command(self, *words: str) -> tuple[str, ...]:
        return words


@dataclass(frozen=True, kw_only=True)
class Site(Desk):
    """The operator's place at the site: without caches, packages or settings of this machine."""

    server: Machine

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this machine's but its programs."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "PIP_CONFIG_FILE": os.devnull,
        }

    def on(self, script: str) -> str:
        """What a script prints on the server. It gets there without SSH."""
        return on(self.server, script)


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Where the bundle is made."""
    home = tmp_path_factory.mktemp("maker")
    ensure_key(home / ".ssh/id_ed25519")
    (home / "hosts.yml").write_text(INVENTORY)
    return Desk(place=Here(), home=home, page=PAGE)


@pytest.fixture(scope="session")
def bundle(maker: Desk) -> Iterator[Path]:
    """The file, made once."""
    ended = maker.type(PAGE.commands[0].text)
    assert ended.code == 0, ended.err
    yield maker.home / "site.tar"
    shutil.rmtree(maker.home)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, maker: Desk, bundle: Path) -> Iterator[Site]:
    """The site, with the file and the key carried there."""
    home = tmp_path_factory.mktemp("site")
    with hold(f"{prefix_of(NAME)}-tests"):
        leftovers.remove(NAME)
        try:
            found = _made(home)
            os.link(bundle, home / "site.tar")
            shutil.copy(maker.home / ".ssh/id_ed25519.pub", home / "maker.pub")
            yield found
        finally:
            leftovers.remove(NAME)
        assert not leftovers.take(NAME)
    shutil.rmtree(home)


def _made(home: Path) -> Site:
    preconditions.require(silent)
    image = ensure_image(read_distribution(), silent)
    ensure_storage(HOSTS / NAME)
    lab = Lab(prefix_of(NAME), IPv4Network("198.18.0.0/24")).ensure()
    server = Machine(
        lab=lab,
        hostname="alpha",
        address=lab.default.network[10],
        directory=HOSTS / NAME / "alpha",
    )
    server.ensure(image, no_packages(), ensure_key(home / ".ssh/id_ed25519"))
    on(server, f"echo '{DEAD_ARCHIVE}' >/etc/apt/sources.list")
    (home / ".ssh/known_hosts").write_text(f"{ADDRESS} {server.host_key}\n")
    (home / "hosts.yml").write_text(INVENTORY)
    found = Site(place=lab.host("desk", DESK), home=home, page=PAGE, server=server)
    for address in ("192.0.2.1", "198.51.100.1"):
        words = found.words(f"ping -c 1 -w 1 {address}")
        assert subprocess.run(words, capture_output=True).returncode != 0, "there is no way out"
    return found
