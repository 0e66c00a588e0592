"""Clusters as this machine knows them: where their state lies, and with which inventory they were
made."""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from installer import platforms
from installer.cluster import Cluster, Host, Platform
from installer.commands.passwords import provide
from installer.errors import InstallerError
from installer.inventory import Inventory, Request, load, section_of

RECORD = "request.json"
DEFAULT = Path(__file__).parents[2] / "inventories"
"""Inventories that work as they are, one for each platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says about the cluster."""

    inventory: Path | None = None
    name: str = ""
    nodes: int | None = None
    settings: tuple[str, ...] = ()
    sudo_password_file: Path | None = None
    sudo_password: str = field(default="", repr=False)
    """As typed on the terminal; empty where it was not asked for."""
    bundle: Path | None = None
    """The file that everything is taken from."""
    bundle_key: Path | None = None
    bundle_from_anyone: bool = False


def clusters_directory() -> Path:
    """Where every cluster has its state directory: below XDG_STATE_HOME."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(base) / "romana" / "clusters"


def wanted(platform: Platform, wish: Wish) -> tuple[Inventory, Path]:
    """The inventory for a run that makes or changes a cluster, and the file it is from.

    Raises:
        InventoryError: it is unsound.
        InstallerError: servers are wanted, and no inventory names them.
    """
    file = wish.inventory or (
        _recorded(wish.name) if platform == "static" else DEFAULT / f"{platform}.yml"
    )
    request = Request(
        platform=platform,
        clusters=clusters_directory(),
        name=wish.name,
        nodes=wish.nodes,
        settings=wish.settings,
        defaults=platforms.defaults(platform, wish.nodes),
    )
    inventory = load(file, request)
    cluster = provide(inventory.cluster, wish.sudo_password_file, wish.sudo_password)
    return replace(inventory, cluster=cluster), file.resolve()


def _recorded(name: str) -> Path:
    """The inventory that servers were named in the last time.

    Raises:
        InstallerError: there was no last time.
    """
    record = clusters_directory() / name / RECORD
    data = json.loads(record.read_text()) if name and record.is_file() else {}
    if data.get("platform") != "static":
        raise InstallerError(
            "there is no inventory that names the servers",
            "give one: romana-install static -i hosts.yml; inventories/baremetal.yml is one to "
            "start from",
        )
    file = Path(data["inventory"])
    return file if file.is_file() else record.with_name("inventory.yml")


def as_recorded(wish: Wish) -> Wish:
    """The wish for a cluster that was made before, with what it does not say as it was said then.

    Args:
        wish: with the cluster's name.
    """
    state = clusters_directory() / wish.name
    data = json.loads((state / RECORD).read_text())
    file = Path(data["inventory"])
    return replace(
        wish,
        inventory=wish.inventory or (file if file.is_file() else state / "inventory.yml"),
        nodes=data["nodes"] if wish.nodes is None else wish.nodes,
        settings=(*data["settings"], *wish.settings),
    )


def platform_of(wish: Wish) -> Platform:
    """The platform that an inventory is for, where nothing else says it: the one whose section it
    has, or the sandbox."""
    if wish.inventory is not None:
        return section_of(wish.inventory) or "sandbox"
    return "sandbox"


def record(cluster: Cluster, file: Path, wish: Wish) -> None:
    """Keeps with the cluster how it was asked for: `known` reads it."""
    # It may be executable, and may hold passwords.
    copy = cluster.state / "inventory.yml"
    copy.touch(mode=0o700)
    copy.write_bytes(file.read_bytes())
    copy.chmod(file.stat().st_mode & 0o700)
    data = {
        "platform": cluster.platform,
        "inventory": str(file),
        "nodes": wish.nodes,
        "settings": wish.settings,
        "defaults": platforms.defaults(cluster.platform, wish.nodes),
    }
    (cluster.state / RECORD).write_text(json.dumps(data) + "\n")


def known(wish: Wish) -> Cluster:
    """A cluster that was made before: by its name, or the only one there is.

    Raises:
        InstallerError: there is no such cluster, or several to choose from.
        InventoryError: its inventory is unsound by now.
    """
    names = sorted(path.parent.name for path in clusters_directory().glob(f"*/{RECORD}"))
    if not wish.name and len(names) > 1 and wish.inventory is None:
        raise InstallerError(f"there are several clusters: {', '.join(names)}", "choose: -n NAME")
    name = wish.name or (names[0] if names else "sandbox")
    if name not in names:
        near = difflib.get_close_matches(name, names, 1) or names
        advice = f"there is {', '.join(near)}" if near else "make one: romana-install sandbox"
        raise InstallerError(f"there is no cluster {name} on this machine", advice)
    state = clusters_directory() / name
    data = json.loads((state / RECORD).read_text())
    platform = data["platform"]
    assert platform in get_args(Platform)
    file = wish.inventory or Path(data["inventory"])
    if not wish.inventory and not file.is_file():
        file = state / "inventory.yml"
    request = Request(
        platform=platform,
        clusters=clusters_directory(),
        name=name,
        nodes=wish.nodes if wish.nodes is not None else data["nodes"],
        settings=(*data["settings"], *wish.settings),
        defaults=tuple(data.get("defaults", ())),
    )
    cluster = load(file, request).cluster
    return provide(cluster, wish.sudo_password_file, wish.sudo_password)


def recorded(cluster: Cluster, directory: Path) -> Cluster:
    """The cluster as an inventory that was kept has it.

    Args:
        cluster: whose.
        directory: with the record and the inventory of then.

    Raises:
        InventoryError: it is unsound by now.
        OSError: nothing is kept there.
    """
    data = json.loads((directory / RECORD).read_text())
    request = Request(
        platform=cluster.platform,
        clusters=clusters_directory(),
        name=cluster.name,
        nodes=data["nodes"],
        settings=tuple(data["settings"]),
        defaults=tuple(data.get("defaults", ())),
    )
    return load(directory / "inventory.yml", request).cluster


def host_named(cluster: Cluster, name: str) -> Host:
    """The host of that name.

    Raises:
        InstallerError: there is none; says which one may be meant.
    """
    names = [host.name for host in cluster.hosts]
    for host in cluster.hosts:
        if host.name == name:
            return host
    near = difflib.get_close_matches(name, names, 1) or names
    raise InstallerError(
        f"cluster {cluster.name} has no host {name}", f"did you mean {' or '.join(near)}?"
    )
