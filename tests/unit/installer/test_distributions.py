"""The table of distributions: complete, consistent, and true of the machine the tests run on."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import pytest

from installer import distributions
from installer.distributions import TABLE, Distribution
from installer.platforms.sandbox.distribution import parse_os_release

WANTED = [("ubuntu", f"{year}.04") for year in (14, 16, 18, 20, 22, 24)]
WANTED += [("debian", str(number)) for number in (11, 12, 13)]


def test_every_release_is_there_once() -> None:
    assert [(row.id, row.version) for row in TABLE] == WANTED
    assert len({row.codename for row in TABLE}) == len(TABLE)
    assert all(distributions.find(*name) is not None for name in WANTED)
    assert distributions.find("debian", "7") is None
    assert distributions.find("ubuntu", "22.10") is None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_is_sound(row: Distribution) -> None:
    oldest, newest = row.kernels
    assert oldest < newest
    assert date.fromisoformat(row.updates_until) > date(2019, 1, 1)
    assert not row.archive.startswith("http")
    assert bool(row.lacks) is (row.packages is None)
    if row.packages is not None:
        for version, package, brought in (
            (row.containerd, row.packages.runtime, "containerd"),
            (row.etcd, row.packages.etcd, "etcd"),
        ):
            assert bool(version) is bool(package) is (brought not in row.packages.brought)
        assert row.nftables or row.iptables


@pytest.mark.parametrize("name", ["ubuntu", "debian"])
def test_releases_only_get_newer(name: str) -> None:
    rows = [row for row in TABLE if row.id == name]
    for older, newer in zip(rows, rows[1:], strict=False):
        assert older.kernels[0] < newer.kernels[0]
        assert older.openssh < newer.openssh
        assert older.libc < newer.libc
        assert older.apt < newer.apt
        assert older.updates_until < newer.updates_until
        assert (older.cgroup, newer.cgroup) != ("v2", "v1")
        assert (older.firewall, newer.firewall) != ("nft", "legacy")


def test_what_ubuntu_14_04_is_like() -> None:
    row = distributions.find("ubuntu", "14.04")
    assert row is not None
    assert (row.init, row.cgroup, row.firewall, row.nftables) == ("upstart", "v1", "legacy", "")
    assert not row.takes_rsa
    assert not row.runs_agent
    assert [each.name for each in TABLE if each.init == "upstart"] == ["Ubuntu 14.04"]


def test_names_of_packages() -> None:
    found = distributions.names("debian", "12")
    assert found is not None
    assert "etcd-server" in found.etcd
    assert distributions.names("ubuntu", "16.04") is None
    assert distributions.names("plan9", "4") is None
    assert "Debian 12" in distributions.supported()


def test_the_row_of_this_machine_is_true() -> None:
    own = parse_os_release(Path("/etc/os-release").read_text())
    row = distributions.find(own.get("ID", ""), own.get("VERSION_ID", ""))
    if row is None:
        pytest.skip(f"the table has no {own.get('PRETTY_NAME')}")
    told = {
        "python3": row.python,
        "libc6": ".".join(map(str, row.libc)),
        "apt": ".".join(map(str, row.apt)),
        "openssh-client": ".".join(map(str, row.openssh)),
        "iptables": row.iptables,
        "ipset": row.ipset,
        "nftables": row.nftables,
    }
    query = subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Package} ${Version}\n", *told],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = dict(line.split()[1:] for line in query.stdout.splitlines() if line[:2] == "ii")
    assert {"apt", "libc6"} <= installed.keys()
    for name, version in installed.items():
        assert version.partition(":")[2].startswith(told[name]) or version.startswith(told[name])
