"""From the JSON of `--list` to a document of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from installer.errors import Problem
from installer.inventory.ansible import groups, ssh
from installer.inventory.document import Entry

_SECTIONS = ("cluster", "network", "static")
_OURS = "romana_"
_PLAIN = {
    "ansible_user": "user",
    "ansible_ssh_user": "user",
    "ansible_port": "port",
    "ansible_ssh_port": "port",
    "ansible_ssh_private_key_file": "key",
    "ansible_private_key_file": "key",
}
_ADDRESSES = (f"{_OURS}address", "ip", "ansible_host", "ansible_ssh_host")
_LOGINS = ("ansible_host", "ansible_ssh_host")
_PASSWORDS = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
_ONLY = {
    "ansible_connection": (
        ("ssh", "smart", "paramiko", "paramiko_ssh"),
        "hosts are reached by SSH",
    ),
    "ansible_become_method": (("sudo",), "sudo is the way to become root"),
    "ansible_become_user": (("root",), "everything is done as root"),
}
_REFUSED = {
    "ansible_password": "log in with a key, and drop the password",
    "ansible_ssh_pass": "log in with a key, and drop the password",
}


@dataclass(slots=True)
class Converted:
    """An inventory in our form, or what is wrong with it."""

    document: Entry | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)
    """sudo's, by host."""


class Converting:
    """One inventory."""

    def __init__(
        self, data: Mapping[str, Any], hostvars: Mapping[str, Any], file: str, made: Converted
    ) -> None:
        self._data = data
        self._hostvars = hostvars
        self._file = file
        self._made = made
        self._bastions: dict[str, Entry] = {}

    def document(self) -> Entry:
        """The document; what is wrong is noted beside it."""
        for name in groups.malformed(self._data):
            self._problem(name, "should be a group: hosts, children, vars")
        members = {group: groups.members(self._data, group) for group in groups.GROUPS}
        hosts = tuple(dict.fromkeys(host for found in members.values() for host in found))
        names = {host: short(host) for host in hosts}
        entries: dict[str, Entry] = {}
        for host in hosts:
            if names[host] in entries:
                other = next(each for each in hosts if names[each] == names[host])
                self._problem(f"_meta.hostvars.{host}", f"would be {names[host]}, as {other} is")
            entries[names[host]] = self._host(host, names)
        top = self._sections(hosts)
        top["hosts"] = self._entry("_meta.hostvars", entries)
        top["groups"] = self._entry(
            "",
            {
                group: self._entry(
                    group,
                    tuple(self._entry(f"{group}.{host}", names[host]) for host in members[group]),
                )
                for group in groups.GROUPS
            },
        )
        if self._bastions:
            static = top.get("static", self._entry("romana_static", {}))
            held = dict(static.value) if isinstance(static.value, Mapping) else {}
            given = held.get("bastions")
            own = dict(given.value) if given and isinstance(given.value, Mapping) else {}
            held["bastions"] = self._entry("ansible_ssh_common_args", {**self._bastions, **own})
            top["static"] = self._entry("romana_static", held)
        return self._entry("", top)

    def _host(self, host: str, names: Mapping[str, str]) -> Entry:
        path = f"_meta.hostvars.{host}"
        variables = groups.variables(self._data, host, self._hostvars.get(host) or {})
        found: dict[str, Entry] = {}
        for name, value in variables.items():
            place = f"{path}.{name}"
            key = _PLAIN.get(name, "")
            if name.startswith(_OURS) and name.removeprefix(_OURS) not in _SECTIONS:
                key = name.removeprefix(_OURS)
            if key:
                found.setdefault(key, self._value(place, value, key))
            self._judge(name, value, place)
        self._place_of(host, variables, path, found)
        self._arguments(variables, path, names, found)
        for name in _PASSWORDS:
            self._password(names[host], f"{path}.{name}", variables.get(name))
        return self._entry(path, found)

    def _value(self, place: str, value: Any, key: str) -> Entry:
        if isinstance(value, str) and "{{" in value:
            self._problem(place, "is a template, which only Ansible fills in", "give its value")
        if key == "port" and isinstance(value, str) and value.isdigit():
            value = int(value)
        return self._of(place, value)

    def _judge(self, name: str, value: Any, place: str) -> None:
        """What keeps a host from being reached as Ansible would reach it."""
        allowed, why = _ONLY.get(name, ((value,), ""))
        if value not in allowed:
            self._problem(place, f"is {value}, and {why}", f"use {allowed[0]}")
        if name in _REFUSED and value:
            self._problem(place, "is not supported", _REFUSED[name])

    def _place_of(
        self, host: str, variables: Mapping[str, Any], path: str, found: dict[str, Entry]
    ) -> None:
        """The address that other hosts know it by, and where SSH goes if that is another."""
        name = next((each for each in _ADDRESSES if variables.get(each)), "")
        address = str(variables[name] if name else host)
        login = next((str(variables[each]) for each in _LOGINS if variables.get(each)), "")
        place = f"{path}.{name}" if name else path
        if not _is_address(address):
            self._problem(
                place,
                f"{address} is a name, and hosts know each other by addresses",
                "add romana_address: its IPv4 address",
            )
            return
        found["address"] = self._entry(place, address)
        if login and login != address:
            found["ssh_address"] = self._entry(place, login)

    def _arguments(
        self,
        variables: Mapping[str, Any],
        path: str,
        names: Mapping[str, str],
        found: dict[str, Entry],
    ) -> None:
        for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
            place, text = f"{path}.{name}", variables.get(name)
            if not text:
                continue
            read = ssh.read(str(text))
            self._made.warnings += [
                f"{self._file}: {place}: {each} is ignored" for each in read.ignored
            ]
            if read.problem:
                self._problem(place, read.problem, "name the way in with romana_bastion")
            if read.jump is not None and "bastion" not in found:
                found["bastion"] = self._entry(place, self._bastion(read.jump, place, names))

    def _bastion(self, jump: ssh.Jump, place: str, names: Mapping[str, str]) -> str:
        """The name of a bastion: a host of the inventory, or one beside it."""
        for host in names:
            if jump.host == host:
                return names[host]
        name = "jump-" + re.sub(r"[^a-z0-9]+", "-", jump.host.lower()).strip("-")
        values: dict[str, Any] = {"address": jump.host}
        values |= {"user": jump.user} if jump.user else {}
        values |= {"port": jump.port} if jump.port else {}
        values |= {"key": jump.key} if jump.key else {}
        entry = self._of(place, values)
        same = [key for key, held in self._bastions.items() if _plain(held) == _plain(entry)]
        if same:
            return same[0]
        name = name if name not in self._bastions else f"{name}-{len(self._bastions) + 1}"
        self._bastions[name] = entry
        return name

    def _password(self, name: str, place: str, value: Any) -> None:
        if isinstance(value, dict) or (isinstance(value, str) and "{{" in value):
            advice = "give it by --ask-sudo-password or --sudo-password-file"
            self._problem(place, "is not a password that can be read here", advice)
        elif value:
            self._made.passwords[name] = str(value)

    def _sections(self, hosts: tuple[str, ...]) -> dict[str, Entry]:
        """Our own sections: variables of the group `all`, which `ansible-inventory` hands to every
        host."""
        top = {}
        places: list[tuple[str, Mapping[str, Any]]] = []
        of_all = self._data.get("all")
        if isinstance(of_all, dict):
            places.append(("all.vars", of_all.get("vars") or {}))
        places += [(f"_meta.hostvars.{host}", self._hostvars.get(host) or {}) for host in hosts]
        for section in _SECTIONS:
            for path, variables in places:
                if f"{_OURS}{section}" in variables:
                    value = variables[f"{_OURS}{section}"]
                    top[section] = self._of(f"{path}.{_OURS}{section}", value)
                    break
        return top

    def _of(self, path: str, value: Any) -> Entry:
        if isinstance(value, dict):
            return self._entry(
                path, {str(key): self._of(f"{path}.{key}", item) for key, item in value.items()}
            )
        if isinstance(value, list):
            return self._entry(
                path, tuple(self._of(f"{path}[{n}]", item) for n, item in enumerate(value))
            )
        return self._entry(path, value)

    def _entry(self, path: str, value: Any) -> Entry:
        return Entry(where=self._file, path=path, value=value)

    def _problem(self, path: str, what: str, advice: str = "") -> None:
        self._made.problems.append(Problem(where=self._file, what=f"{path}: {what}", advice=advice))


def short(host: str) -> str:
    """A name that a node can have: the first label of a host's name there, or its address with
    dashes."""
    if _is_address(host):
        return f"host-{host.replace('.', '-')}"
    return host.partition(".")[0].lower().replace("_", "-")


def _plain(entry: Entry) -> dict[str, object]:
    """The values of a mapping, wherever they stand."""
    held = entry.value if isinstance(entry.value, Mapping) else {}
    return {key: item.value for key, item in held.items()}


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
