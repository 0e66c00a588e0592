"""A bundle made, carried to a site without a network, and a cluster installed from it, by the
commands of docs/operations.md in their order."""

import json
import re
import tarfile

import pytest
from documented import Page

PAGE = Page("operations.md", section="Install without a network")
pytestmark = PAGE.mark
MAKE, *CARRY, LIST, INSTALL = (command.text for command in PAGE.commands)
HELD = (
    "find /etc /opt /usr/local /var/lib/romana -type f -printf '%p %T@ %s %m %u\\n' 2>/dev/null"
    " | sort | sha256sum; dpkg-query -W | sha256sum"
)
QUICK = ("--yes", "--json")


def first_line(ended):
    return ended.err.splitlines()[0]


def test_the_installer_comes_out_of_the_file(site):
    for line in CARRY:
        ended = site.type(line)
        assert ended.code == 0, ended.out + ended.err
    ended = site.type("venv/bin/romana-install --version")
    assert ended.code == 0, ended.err


def test_what_is_in_it_is_listed_with_its_origin(site):
    ended = site.type(LIST)
    assert ended.code == 0, ended.err
    assert re.search(r"signed by \S+ \(SHA256:\S+\); every byte verified", ended.out)
    told = json.loads(site.type(LIST, "--json").out)
    assert (told["kubernetes"], told["systems"]) == ("v1.20.2", ["debian-12"])
    with tarfile.open(site.home / "site.tar") as tar:
        names = [member.name for member in tar][3:]
    assert [member["name"] for member in told["members"]] == names
    assert all(member["origin"] for member in told["members"])


@pytest.mark.parametrize("member", ["kubernetes/kubelet.gz", "packages/debian-12-amd64.tar"])
def test_one_flipped_byte_is_told_with_its_member_and_nothing_is_touched(site, member):
    file = site.home / "site.tar"
    with tarfile.open(file) as tar:
        found = tar.getmember(member)
    offset = found.offset_data + found.size // 2
    before = site.on(HELD)
    with file.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        try:
            stream.seek(offset)
            stream.write(bytes((byte ^ 1,)))
            stream.flush()
            ended = site.type(INSTALL, *QUICK)
        finally:
            stream.seek(offset)
            stream.write(bytes((byte,)))
    assert ended.code == 1
    assert first_line(ended) == (
        f"error: site.tar: {member} is damaged: its sha256 is not what manifest.json says"
    )
    assert site.on(HELD) == before
    assert not site.state_of("site").exists()


def test_a_stranger_and_another_version_are_refused_and_nothing_is_touched(site):
    before = site.on(HELD)
    unknown = INSTALL.replace(" --bundle-key maker.pub", "")
    for line, options, said in (
        (unknown, (), r"is signed by SHA256:\S+, whom nobody knows here"),
        (INSTALL, ("--set", "cluster.kubernetes=v1.21.14"), "wants Kubernetes v1.21.14, and the"),
    ):
        ended = site.type(line, *QUICK, *options)
        assert ended.code == 1
        assert re.search(said, first_line(ended)), ended.err
    assert site.on(HELD) == before
    assert not site.state_of("site").exists()


def test_a_cluster_is_installed_and_proven_without_a_network(site):
    ended = site.type(INSTALL, *QUICK)
    assert ended.code == 0, ended.err
    checks = ended.of("CheckResult")
    assert len(checks) > 15
    assert [check["name"] for check in checks if not check["passed"]] == []
    assert ended.of("Recap")[-1]["stopped"] == ""


def test_nothing_was_fetched_and_the_servers_own_sources_are_as_they_were(site):
    kept = {path.name for path in (site.home / ".cache/romana").iterdir()}
    assert kept == {"bundles"}
    assert site.on("cat /etc/apt/sources.list").startswith("deb http://198.18.0.99/")
    assert "198.18.0.99" not in site.on("ls /var/lib/apt/lists")


def test_a_second_run_changes_nothing(site):
    ended = site.type(INSTALL, *QUICK)
    assert ended.code == 0, ended.err
    assert ended.results("changed", "failed") == []


def test_every_command_of_the_section_was_executed():
    assert PAGE.left() == []
