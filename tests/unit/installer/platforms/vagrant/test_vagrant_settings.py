"""vagrant/settings.yml under the environment, and what inventories get of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.errors import PlatformError
from installer.platforms.vagrant.settings import FOLDER, defaults, read


def test_the_file_that_is_shipped_is_sound_for_each_provider():
    networks = {
        provider: str(read({"VAGRANT_DEFAULT_PROVIDER": provider}).network)
        for provider in ("virtualbox", "libvirt", "lxc")
    }
    assert networks == {
        "virtualbox": "192.168.56.0/24",
        "libvirt": "192.168.57.0/24",
        "lxc": "10.0.3.0/24",
    }
    assert read({}).provider == "virtualbox"


def test_the_environment_wins_over_the_file():
    found = read({"ROMANA_NODES": "5", "ROMANA_MEMORY": "512", "ROMANA_NETWORK": "10.1.0.0/16"})
    assert (found.nodes, found.memory_mb, str(found.network)) == (5, 512, "10.1.0.0/16")


def test_inventories_get_what_they_leave_open():
    settings = read({"ROMANA_PACKAGES": "/srv/packages"})
    assert defaults(settings, None) == (
        "cluster.name=vagrant",
        "network.hosts=192.168.56.0/24",
        "nodes=2",
        "vars.memory_mb=2048",
        "cluster.package_repository=deb [trusted=yes] file:/var/cache/romana/packages ./",
    )
    assert defaults(read({}), 0)[:3] == (
        "cluster.name=vagrant-sandbox",
        "network.hosts=192.168.56.0/24",
        "nodes=0",
    )


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"ROMANA_NODES": "many"}, "nodes should be a number, is 'many'"),
        ({"ROMANA_NETWORK": "192.168.56.1/24"}, "network should be like 192.168.56.0/24"),
        ({"VAGRANT_DEFAULT_PROVIDER": "docker"}, "network is missing for the provider docker"),
    ],
)
def test_what_is_unsound_is_named(environment: dict[str, str], says: str):
    with pytest.raises(PlatformError, match=says) as raised:
        read(environment)
    assert "settings.yml, or in ROMANA_" in raised.value.advice


def test_a_file_that_is_not_yaml_is_a_line(tmp_path: Path):
    (tmp_path / "settings.yml").write_text("nodes: [")
    with pytest.raises(PlatformError, match="settings.yml cannot be read"):
        read({}, folder=tmp_path)


def test_the_vagrantfile_is_where_it_is_looked_for():
    assert (FOLDER / "Vagrantfile").is_file()
