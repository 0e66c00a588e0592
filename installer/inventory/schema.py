"""The keys of an inventory, and reading a document by them: every problem is found, none stops the
reading."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from installer.cluster import Backend
from installer.errors import Problem
from installer.inventory import kinds
from installer.inventory.document import Entry
from installer.inventory.kinds import Kind, Unfit

TOP = (
    "cluster",
    "network",
    "hosts",
    "groups",
    "nodes",
    "vars",
    "group_vars",
    "backup",
    "aws",
    "static",
)
GROUPS = ("controller", "nodes")
CLUSTER: Mapping[str, Kind] = {
    "name": kinds.name(20),
    "kubernetes": kinds.version,
    "etcd": kinds.program_version,
    "containerd": kinds.program_version,
    "romana": kinds.release,
    "domain": kinds.domain,
    "api_port": kinds.whole(1, 65535),
    "api_endpoint": kinds.endpoint,
    "download_url": kinds.url,
    "upstream_url": kinds.url,
    "package_mirror": kinds.url,
    "smoke": kinds.yes_or_no,
    "package_repository": kinds.text,
}
NETWORK: Mapping[str, Kind] = {
    "pods": kinds.network,
    "services": kinds.network,
    "hosts": kinds.network,
    "block_size": kinds.whole(16, 30),
    "masquerade": kinds.yes_or_no,
    "mtu": kinds.whole(576, 65535),
    "backend": kinds.one_of(get_args(Backend)),
}
BACKUP: Mapping[str, Kind] = {"every": kinds.span(never=True), "keep": kinds.span(never=False)}


def variables(directory: Path) -> Mapping[str, Kind]:
    """Keys that may stand at a host, at a group and at the cluster; the most specific wins.

    Args:
        directory: the inventory's, where relative paths start.
    """
    return {
        "user": kinds.text,
        "port": kinds.whole(1, 65535),
        "key": kinds.file_below(directory),
        "bastion": kinds.text,
        "sudo_password_file": kinds.file_below(directory),
        "zone": kinds.name(63),
        "segment": kinds.name(63),
        "labels": kinds.labels,
        "taints": kinds.taints,
        "memory_mb": kinds.whole(512, 1 << 24),
        "disk_gb": kinds.whole(8, 16384),
        "instance_type": kinds.text,
    }


def host_keys(directory: Path) -> Mapping[str, Kind]:
    """Keys that may stand at a host."""
    return {
        "address": kinds.address,
        "ssh_address": kinds.text,
        "host_key": kinds.text,
        **variables(directory),
    }


@dataclass(slots=True)
class Reader:
    """Reads mappings by their keys, and collects what is wrong."""

    problems: list[Problem] = field(default_factory=list)

    def mapping(self, entry: Entry | None) -> Mapping[str, Entry]:
        """The entries of a mapping; nothing where it is missing or empty."""
        if entry is None or entry.value is None:
            return {}
        if not isinstance(entry.value, Mapping):
            self.problems.append(entry.problem(f"should be a mapping, is {kinds.shown(entry)}"))
            return {}
        return entry.value

    def known(self, entry: Entry | None, keys: Iterable[str]) -> Mapping[str, Entry]:
        """The entries of a mapping that may have only these keys."""
        allowed = tuple(keys)
        found = self.mapping(entry)
        for key in found:
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(allowed)}"
                self.problems.append(found[key].problem("unknown key", advice))
        return {key: item for key, item in found.items() if key in allowed}

    def values(self, entry: Entry | None, schema: Mapping[str, Kind]) -> dict[str, Any]:
        """The values of a mapping that are there and fit."""
        values = {}
        for key, item in self.known(entry, schema).items():
            try:
                values[key] = schema[key](item)
            except Unfit as error:
                own = (item.problem(error.what, error.advice),)
                self.problems.extend(error.problems or own)
        return values
