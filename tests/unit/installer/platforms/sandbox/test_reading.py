"""What the sandbox reads of this machine, from recorded text."""

from pathlib import Path

import pytest

from installer.errors import PlatformError
from installer.platforms.sandbox.cgroups import is_unified, parse_hierarchies
from installer.platforms.sandbox.distribution import Archive, choose_archive, parse_os_release
from installer.platforms.sandbox.leftovers import Inventory, mounts_of

HYBRID = """\
30 23 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
34 23 0:30 / /elsewhere rw,relatime - cgroup cgroup rw,memory
"""
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_hybrid_hierarchies():
    found = parse_hierarchies(HYBRID)
    assert [each.path.name for each in found] == ["cpu,cpuacct", "cpuset", "unified"]
    assert [each.unified for each in found] == [False, False, True]
    assert "cpuset" in found[1].controllers
    assert not is_unified(found)


def test_unified_hierarchy():
    assert is_unified(parse_hierarchies(UNIFIED))


def test_os_release():
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n\n# x\n'
    assert parse_os_release(text)["VERSION_ID"] == "12"
    assert parse_os_release(text)["ID"] == "debian"


TARGETS = """\
http://mirror.example/debian/|bookworm|main
http://mirror.example/debian/|bookworm-updates|main
http://mirror.example/security/|bookworm-security|main
http://mirror.example/ubuntu/|jammy|main
http://mirror.example/ubuntu/|jammy|universe
http://mirror.example/ubuntu/|jammy|restricted
http://other.example/|jammy|stable
"""


@pytest.mark.parametrize(
    ("codename", "mirror", "components"),
    [
        ("bookworm", "http://mirror.example/debian/", ("main",)),
        ("jammy", "http://mirror.example/ubuntu/", ("main", "universe")),
    ],
)
def test_archive(codename, mirror, components):
    assert choose_archive(TARGETS, codename) == Archive(mirror=mirror, components=components)


def test_no_archive():
    with pytest.raises(PlatformError, match="no archive of trixie"):
        choose_archive(TARGETS, "trixie")


def test_mounts_of_a_cluster():
    mounts = [
        "/var/lib/romana/sandbox/one",
        "/var/lib/romana/sandbox/one/node1/root",
        "/var/lib/romana/sandbox/one-more/node1/root",
        "/run/systemd/nspawn/propagate/romana-one.node1",
        "/run/netns/romana-one.node1",
        "/run/netns",
        "/",
    ]
    text = "".join(f"1 2 0:3 / {mount} rw - ext4 /dev/vda rw\n" for mount in mounts)
    found = mounts_of(text, "romana-one", Path("/var/lib/romana/sandbox/one"))
    assert found == (*mounts[:2], mounts[3])


def test_inventories_are_compared():
    before = Inventory(namespaces=("a",), processes=("1 init",))
    after = Inventory(namespaces=("a", "b"))
    assert after.minus(before) == Inventory(namespaces=("b",))
    assert not before.minus(before)
    assert str(after) == "2 namespaces, 0 mounts, 0 processes, 0 cgroups, 0 directories"
