"""From an inventory file to a Cluster, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, get_args

from installer.cluster import SSH, Cluster, Group, Host, Network, Platform, Snapshots
from installer.errors import InventoryError, Problem
from installer.inventory import kinds, schema, sections, soundness, source
from installer.inventory.document import Entry, override, underlay
from installer.inventory.kinds import Unfit, listed, whole
from installer.inventory.schema import Reader

FIRST_HOST = 10
"""Where addresses of hosts that are only counted begin in `network.hosts`; below are gateways."""
ALONE = "sandbox"
"""Vagrant's machine that is a cluster of its own. It lies before the others, beside which it may
run."""
_COUNTED = ("sandbox", "vagrant")
"""Platforms without a section that make hosts themselves, so that their number is enough."""
_SSH_KEYS = ("user", "port", "key", "host_key", "bastion", "sudo_password_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A sound inventory: the cluster, and what is unwise about it."""

    cluster: Cluster
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line adds to a file: the platform, and settings that win over the file's.

    `clusters` is the directory that holds every cluster's state; `defaults` are settings that give
    way to the file's.
    """

    platform: Platform
    clusters: Path
    name: str = ""
    nodes: int | None = None
    settings: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()


def load(file: Path, request: Request) -> Inventory:
    """Reads an inventory.

    Raises:
        InventoryError: with all problems at once, each with its line.
    """
    read = source.read(file)
    document, problems = read.document, read.problems
    if document is None:
        raise _unsound(problems)
    settings = list(request.settings)
    settings += [f"cluster.name={request.name}"] if request.name else []
    settings += [f"nodes={request.nodes}"] if request.nodes is not None else []
    document, wrong = override(document, settings)
    document = underlay(document, _fitting(document, request.defaults))
    reading = _Reading(file, document, request)
    cluster = reading.cluster()
    found = (*problems, *wrong, *reading.reader.problems)
    if found or cluster is None:
        raise _unsound(found)
    unwise = tuple(soundness.warnings(len(cluster.controllers)))
    return Inventory(
        cluster=_with_passwords(cluster, read.passwords or {}), warnings=(*read.warnings, *unwise)
    )


def _with_passwords(cluster: Cluster, passwords: Mapping[str, str]) -> Cluster:
    """The cluster with the passwords that came with the inventory."""

    def given(host: Host) -> Host:
        if host.name not in passwords:
            return host
        return replace(host, ssh=replace(host.ssh, sudo_password=lambda: passwords[host.name]))

    return replace(cluster, hosts=tuple(map(given, cluster.hosts)))


def _fitting(document: Entry, defaults: tuple[str, ...]) -> tuple[str, ...]:
    """Hosts are not counted where they are listed."""
    listed = isinstance(document.value, Mapping) and "hosts" in document.value
    return tuple(item for item in defaults if not (listed and item.startswith("nodes=")))


def section_of(file: Path) -> Platform | None:
    """The platform whose section an inventory has; None where it has none, or cannot be read."""
    document = source.read(file).document
    value = document.value if document is not None else None
    keys = value if isinstance(value, Mapping) else {}
    return next((name for name in get_args(Platform) if name in keys), None)


def lists_hosts(file: Path) -> bool:
    """Whether an inventory names its hosts, which a machine that is made has no need of."""
    return source.read(file).names_hosts


def _unsound(problems: Iterable[Problem]) -> InventoryError:
    found = tuple(sorted(dict.fromkeys(problems), key=_place))
    count = "one problem" if len(found) == 1 else f"{len(found)} problems"
    return InventoryError(f"the inventory has {count}; nothing was touched", found)


def _place(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (problem.where, 0)


def _names(platform: Platform, count: int) -> list[str]:
    """A controller and `count` nodes; the Vagrantfile has a machine for a cluster of one host."""
    if platform == "vagrant" and not count:
        return [ALONE]
    return ["controller", *(f"node{number + 1}" for number in range(count))]


def _in_order(within: IPv4Network, names: list[str]) -> tuple[sections.Place, ...]:
    """Addresses one after the other."""
    if within.num_addresses < FIRST_HOST + len(names) + 1:
        raise Unfit(f"{within} is too small for {len(names) - 1} nodes")
    first = FIRST_HOST - 1 if names == [ALONE] else FIRST_HOST
    return tuple((within[first + number], "") for number in range(len(names)))


class _Reading:
    """One document being read."""

    def __init__(self, file: Path, document: Entry, request: Request) -> None:
        self.reader = Reader()
        self._file = file
        self._directory = file.resolve().parent
        self._request = request
        self._document = document
        self._top = self.reader.known(document, schema.TOP)

    def cluster(self) -> Cluster | None:
        """The cluster, if what is there suffices to make one."""
        about = self.reader.values(self._top.get("cluster"), schema.CLUSTER)
        network = self.reader.values(self._top.get("network"), schema.NETWORK)
        backup = self.reader.values(self._top.get("backup"), schema.BACKUP)
        # Servers lie where they lie, in one range or in several.
        free = self._request.platform == "static"
        for key in ("pods", "services") if free else ("pods", "services", "hosts"):
            if key not in self.reader.mapping(self._top.get("network")):
                self._problem("network", f"network.{key}: is missing", "give a range: 10.96.0.0/16")
        if "name" not in self.reader.mapping(self._top.get("cluster")):
            self._problem("cluster", "cluster.name: is missing", "give the cluster a name")
        section = self._section(network.get("hosts"))
        hosts = self._settled(section, self._hosts(network.get("hosts"), section))
        self.reader.problems += soundness.networks(network, len(hosts), self._where)
        order = getattr(section, "zone_order", ())
        placed = tuple(host.zone for host in hosts)
        self.reader.problems += soundness.zones(network, order, placed, self._where)
        if "hosts" not in network:
            found = {host.name: host.address for host in hosts}
            self.reader.problems += soundness.apart(found, network, self._where)
            network["hosts"] = soundness.around(found.values())
        if self.reader.problems:
            return None
        name = about.pop("name")
        return Cluster(
            name=name,
            platform=self._request.platform,
            network=Network(**network),
            hosts=hosts,
            state=self._request.clusters / name,
            section=section,
            snapshots=Snapshots(**{f"{key}_s": value for key, value in backup.items()}),
            bastions=getattr(section, "bastions", ()),
            zone_order=order or getattr(section, "planned", ()),
            **{"kubernetes": "auto", **about},
        )

    def _section(self, within: IPv4Network | None) -> Any:
        """The value of the platform's own section; None for a platform without one, or where it is
        unsound."""
        for name in sections.SECTIONS:
            if name in self._top and name != self._request.platform:
                advice = f"romana-install {name} -i {source.short(self._file)}"
                self._problem(name, f"{name}: is for another platform", advice)
        kind = sections.SECTIONS.get(self._request.platform)
        if kind is None:
            return None
        values = self.reader.values(
            self._top.get(self._request.platform), kind.keys(self._directory)
        )
        if self.reader.problems or (within is None and kind.places is not None):
            return None
        try:
            return kind.build(values, within or soundness.ANYWHERE)
        except Unfit as error:
            name = self._request.platform
            self._problem(name, f"{name}: {error.what}", error.advice)
            return None

    def _settled(self, section: Any, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        kind = sections.SECTIONS.get(self._request.platform)
        if kind is None or section is None:
            return hosts
        try:
            return kind.settled(section, hosts)
        except Unfit as error:
            self._problem("hosts", f"hosts: {error.what}", error.advice)
            return hosts

    def _hosts(self, within: IPv4Network | None, section: Any) -> tuple[Host, ...]:
        if "hosts" not in self._top:
            return self._counted(within, section)
        if "nodes" in self._top:
            self._problem("nodes", "nodes: cannot be counted where hosts are listed", "drop one")
        entries = self.reader.mapping(self._top["hosts"])
        read = {name: self._host_values(name, entry) for name, entry in entries.items()}
        members = self._members()
        given = {name: item["address"] for name, item in read.items() if "address" in item}
        for entry in entries.values():
            if "address" not in self.reader.mapping(entry):
                self.reader.problems.append(entry.problem("address is missing"))
        self.reader.problems += soundness.addresses(given, within, self._where)
        self.reader.problems += soundness.groups(members, tuple(entries), self._where)
        grouped = {group: [str(entry.value) for entry in found] for group, found in members.items()}
        hosts = tuple(
            self._host(name, read[name], address, grouped) for name, address in given.items()
        )
        beside = tuple(each.name for each in getattr(section, "bastions", ()))
        self.reader.problems += soundness.bastions(hosts, beside, self._where)
        return hosts

    def _host_values(self, name: str, entry: Entry) -> dict[str, Any]:
        try:
            kinds.name(63)(replace(entry, value=name))
        except Unfit as error:
            self.reader.problems.append(entry.problem(error.what, error.advice))
        return self.reader.values(entry, schema.host_keys(self._directory))

    def _counted(self, within: IPv4Network | None, section: Any) -> tuple[Host, ...]:
        """Hosts where only the number of nodes is given: a controller, and node1 onwards."""
        entry = self._top.get("nodes", Entry(where="", path="nodes", value=2))
        own = sections.SECTIONS.get(self._request.platform)
        if self._request.platform not in _COUNTED and (own is None or own.places is None):
            self._problem("hosts", "hosts: is missing", "list the servers, with their addresses")
            return ()
        try:
            count = whole(0, 200)(entry)
        except Unfit as error:
            self.reader.problems.append(entry.problem(error.what, error.advice))
            return ()
        if within is None or (own is not None and section is None):
            return ()
        names = _names(self._request.platform, count)
        try:
            places = (
                own.places(section, count + 1) if own and own.places else _in_order(within, names)
            )
        except Unfit as error:
            self._problem("network.hosts", f"network.hosts: {error.what}", error.advice)
            return ()
        members = {"controller": names[:1], "nodes": names[1:] or names[:1]}
        if "groups" in self._top:
            self._problem("groups", "groups: need hosts to be listed", "drop it, or list hosts")
        return tuple(
            self._host(name, {"zone": zone} if zone else {}, address, members)
            for name, (address, zone) in zip(names, places, strict=True)
        )

    def _members(self) -> dict[str, tuple[Entry, ...]]:
        members: dict[str, tuple[Entry, ...]] = {}
        for group, entry in self.reader.known(self._top.get("groups"), schema.GROUPS).items():
            try:
                members[group] = listed(entry)
            except Unfit as error:
                self.reader.problems.append(entry.problem(error.what, error.advice))
        return members

    def _host(
        self,
        name: str,
        own: Mapping[str, Any],
        address: IPv4Address,
        members: Mapping[str, list[str]],
    ) -> Host:
        groups: tuple[Group, ...] = tuple(
            group for group in ("controller", "nodes") if name in members.get(group, ())
        )
        values = self._variables(groups) | dict(own)
        labels = dict(self._variables(groups).get("labels", ())) | dict(own.get("labels", ()))
        if values.get("bastion") == name and "bastion" not in own:
            del values["bastion"]  # it is everybody's, and reached without itself
        values |= {"address": address, "labels": tuple(sorted(labels.items()))}
        ssh = {key: values.pop(key) for key in _SSH_KEYS if key in values}
        if "ssh_address" in values:
            ssh["address"] = values.pop("ssh_address")
        return Host(name=name, groups=groups, ssh=SSH(**ssh), **values)

    def _variables(self, groups: tuple[Group, ...]) -> dict[str, Any]:
        """Variables of the cluster, under those of the groups."""
        keys = schema.variables(self._directory)
        reader = Reader()
        merged = reader.values(self._top.get("vars"), keys)
        by_group = reader.known(self._top.get("group_vars"), schema.GROUPS)
        for group in groups:
            found = reader.values(by_group.get(group), keys)
            labels = dict(merged.get("labels", ())) | dict(found.get("labels", ()))
            merged |= found
            if labels:
                merged["labels"] = tuple(sorted(labels.items()))
        self.reader.problems += [
            item for item in reader.problems if item not in self.reader.problems
        ]
        return merged

    def _where(self, path: str) -> str:
        """Where the value at a key path stands, or its closest parent."""
        entry = self._document
        for key in path.split("."):
            if not isinstance(entry.value, Mapping) or key not in entry.value:
                break
            entry = entry.value[key]
        return entry.where

    def _problem(self, path: str, what: str, advice: str = "") -> None:
        self.reader.problems.append(Problem(where=self._where(path), what=what, advice=advice))
