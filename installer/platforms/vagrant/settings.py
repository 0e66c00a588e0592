"""What `vagrant/settings.yml` and the environment say about machines; the Vagrantfile reads the
same. For inventories it is what they leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from installer.errors import PlatformError

FOLDER = Path(__file__).parents[3] / "vagrant"
"""Where the Vagrantfile is."""
PACKAGES = "/var/cache/romana/packages"
"""Where machines see the directory that the setting `packages` names."""
SEVERAL, ONE = "vagrant", "vagrant-sandbox"
"""The clusters of the Vagrantfile: a controller with nodes, and all of it in one machine."""
_PREFIX = "ROMANA_"
_DEFAULT_PROVIDER = "VAGRANT_DEFAULT_PROVIDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings that concern a cluster; `network` is of the provider."""

    provider: str
    nodes: int
    memory_mb: int
    network: IPv4Network
    packages: str = ""


def read(environment: Mapping[str, str], active: str = "", folder: Path = FOLDER) -> Settings:
    """The settings, those of the environment over those of the file.

    Args:
        environment: of this process.
        active: the provider of machines that exist; it goes before the file's.
        folder: where settings.yml is.

    Raises:
        PlatformError: a value is missing or not of its kind.
    """
    file = folder / "settings.yml"
    try:
        given = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise PlatformError(f"{file} cannot be read: {error}", "restore it with git") from error
    values = {key: environment.get(_PREFIX + key.upper(), value) for key, value in given.items()}
    provider = environment.get(_DEFAULT_PROVIDER) or active or str(values.get("provider"))
    network = values.get("network")
    found = network.get(provider) if isinstance(network, Mapping) else network
    return Settings(
        provider=provider,
        nodes=_number(file, values, "nodes"),
        memory_mb=_number(file, values, "memory"),
        network=_network(file, found, provider),
        packages=str(values.get("packages") or ""),
    )


def defaults(settings: Settings, nodes: int | None) -> tuple[str, ...]:
    """What an inventory gets where it says nothing: "KEY=VALUE".

    Args:
        settings: as they are read.
        nodes: how many the command line asks for.
    """
    count = settings.nodes if nodes is None else nodes
    repository = (f"cluster.package_repository=deb [trusted=yes] file:{PACKAGES} ./",)
    return (
        f"cluster.name={SEVERAL if count else ONE}",
        f"network.hosts={settings.network}",
        f"nodes={count}",
        f"vars.memory_mb={settings.memory_mb}",
        *(repository if settings.packages else ()),
    )


def _number(file: Path, values: Mapping[str, Any], key: str) -> int:
    try:
        return int(values[key])
    except (KeyError, TypeError, ValueError):
        given = values.get(key)
        raise _unfit(file, key, f"should be a number, is {given!r}") from None


def _network(file: Path, value: object, provider: str) -> IPv4Network:
    if value is None:
        raise _unfit(file, "network", f"is missing for the provider {provider}")
    try:
        return IPv4Network(str(value))
    except ValueError as error:
        raise _unfit(file, "network", f"should be like 192.168.56.0/24: {error}") from None


def _unfit(file: Path, key: str, what: str) -> PlatformError:
    return PlatformError(f"{key} {what}", f"mend it in {file}, or in {_PREFIX}{key.upper()}")
