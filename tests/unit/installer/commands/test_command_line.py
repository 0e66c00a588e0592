"""The command line: what is refused before anything is touched, and how it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from installer.cli import main

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    "verb", [(), *((name,) for name in sorted(main.commands))], ids=lambda verb: " ".join(verb)
)
def test_every_verb_explains_itself_with_an_example(verb: tuple[str, ...]) -> None:
    result = run(*verb, "--help")
    assert result.exit_code == 0
    assert "romana-install " + (verb[0] if verb else "sandbox") in result.output


def test_an_unsound_inventory_is_refused_with_all_its_problems_and_nothing_is_made(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bad.yml"
    file.write_text("cluster: {nme: x}\nnetwork: {pods: 10.0.0.0/8, services: 10.1.0.0/16}\n")
    result = run("sandbox", "-i", str(file))
    assert result.exit_code == 1
    assert f"{file}:1: cluster.nme: unknown key (did you mean name?)" in result.output
    assert "overlaps network.pods" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sandbox", "-i", "/nowhere.yml"), "/nowhere.yml: cannot be read: No such file"),
        (("sandbox", "--limit", "nod1"), "cluster sandbox has no host nod1"),
        (("sandbox", "--limit", "nod1"), "did you mean node1"),
        (("sandbox", "--set", "network.mtu=x"), "--set network.mtu: network.mtu: should be"),
        (("sandbox", "-n", "Not A Name"), "--set cluster.name: cluster.name: should be a name"),
        (("test",), "there is no cluster sandbox on this machine"),
        (("kubeconfig", "-n", "other"), "there is no cluster other on this machine"),
        (("ssh", "node1"), "make one: romana-install sandbox"),
        (("destroy", "--yes"), "there is no cluster sandbox on this machine"),
        (("static",), "give one: romana-install static -i hosts.yml"),
        (("static", "-n", "racks"), "there is no inventory that names the servers"),
        (("doctor", "-i", "/nowhere.yml"), "/nowhere.yml: cannot be read: No such file"),
    ],
)
def test_bad_input_is_one_error_with_what_to_do(words: tuple[str, ...], says: str) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output


def test_with_json_an_error_is_an_event_too() -> None:
    result = run("test", "--json")
    recap = json.loads(result.stdout.splitlines()[-1])
    assert recap["event"] == "Recap"
    assert "there is no cluster sandbox" in recap["stopped"]


def test_a_state_directory_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    result = run("sandbox", "--yes")
    assert result.exit_code == 1
    assert result.output.endswith(": Not a directory\n")


def test_a_cluster_is_found_by_its_record(tmp_path: Path) -> None:
    from installer.commands.clusters import Wish, known, record, wanted

    inventory, file = wanted("sandbox", Wish(name="demo", nodes=1))
    inventory.cluster.state.mkdir(parents=True)
    record(inventory.cluster, file, Wish(name="demo", nodes=1))
    assert known(Wish()) == inventory.cluster
    assert known(Wish(name="demo")).state == tmp_path / "state/romana/clusters/demo"


def test_what_a_running_cluster_cannot_change_is_refused() -> None:
    from dataclasses import replace
    from ipaddress import IPv4Network

    from installer.commands import fixed
    from installer.commands.clusters import Wish, wanted
    from installer.errors import InstallerError

    cluster = wanted("sandbox", Wish())[0].cluster
    fixed.require(cluster)
    cluster.state.mkdir(parents=True)
    fixed.keep(cluster)
    fixed.require(replace(cluster, smoke=False))
    moved = replace(cluster.network, pods=IPv4Network("10.128.0.0/12"))
    with pytest.raises(InstallerError, match="cannot change network.pods") as caught:
        fixed.require(replace(cluster, network=moved))
    assert "(10.112.0.0/12 -> 10.128.0.0/12)" in caught.value.message


def test_hosts_of_a_running_cluster_keep_their_addresses_but_may_come_and_go() -> None:
    from installer.commands import fixed
    from installer.commands.clusters import Wish, wanted
    from installer.errors import InstallerError

    cluster = wanted("sandbox", Wish())[0].cluster
    cluster.state.mkdir(parents=True)
    fixed.keep(cluster)
    for nodes in (0, 5):
        fixed.require(wanted("sandbox", Wish(nodes=nodes))[0].cluster)
    elsewhere = Wish(settings=("network.hosts=198.18.9.0/24",))
    with pytest.raises(InstallerError, match=r"hosts\.node1\.address \(198\.18\.0\.11 -> "):
        fixed.require(wanted("sandbox", elsewhere)[0].cluster)


def test_an_inventory_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    from installer.commands.clusters import Wish, known, record, wanted
    from installer.errors import InventoryError

    copy = tmp_path / "mine.yml"
    inventory, file = wanted("sandbox", Wish(name="demo"))
    copy.write_text(file.read_text())
    inventory.cluster.state.mkdir(parents=True)
    record(inventory.cluster, copy, Wish(name="demo"))
    copy.unlink()
    assert known(Wish(name="demo")) == inventory.cluster
    with pytest.raises(InventoryError):
        known(Wish(name="demo", inventory=copy))


def test_a_limit_that_names_no_host_is_not_all_hosts() -> None:
    found = CliRunner().invoke(main, ["sandbox", "--check", "--limit", ","])
    assert found.exit_code == 2
    assert "names no host" in found.output


def test_openssh_gets_every_host_with_its_key_pinned(tmp_path: Path) -> None:
    from dataclasses import replace

    from installer.cluster import SSH
    from installer.commands.clusters import Wish, wanted
    from installer.commands.existing import openssh

    cluster = wanted("sandbox", Wish())[0].cluster
    cluster.state.mkdir(parents=True)
    key = SSH(key=tmp_path / "id", host_key="ssh-ed25519 AAAA", user="admin", bastion="controller")
    hosts = (cluster.hosts[0], replace(cluster.hosts[1], ssh=key))
    words = openssh(replace(cluster, hosts=hosts), "node1")
    assert words == ["ssh", "-F", str(cluster.state / "ssh/config"), "node1"]
    config = (cluster.state / "ssh/config").read_text()
    assert "Host node1\n  HostName 198.18.0.11\n  Port 22\n  User admin\n" in config
    assert "  HostKeyAlias node1\n" in config
    assert "  ProxyJump controller\n" in config
    assert (cluster.state / "ssh/known_hosts").read_text() == "node1 ssh-ed25519 AAAA\n"
