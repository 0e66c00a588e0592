"""The Vagrant platform, with a stand-in for Vagrant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installer.errors import PlatformError
from installer.platforms.vagrant.platform import Vagrant

SAID = Path(__file__).parent / "said"
ALL = ("controller", "node1", "node2")


def verbs(desk):
    return [" ".join(words) for words, _ in desk.calls()]


def test_machines_are_made_by_an_explicit_provider_and_learnt_of(desk):
    cluster = desk.vagrant.provision(desk.cluster(), desk.events.append)
    calls = desk.calls()
    up = next((words, told) for words, told in calls if words[0] == "up")
    assert up[0] == ["up", "--no-provision", "--provider=virtualbox"]
    assert up[1] == {
        "ROMANA_INSTALL": "1",
        "ROMANA_NETWORK": "192.168.56.0/24",
        "ROMANA_MEMORY": "2048",
        "ROMANA_NODES": "2",
    }
    assert tuple(host.name for host in cluster.hosts) == ALL
    for host in cluster.hosts:
        assert host.ssh.user == "vagrant"
        assert str(host.ssh.key) == str(desk.directory / f"key-{host.name}")
        assert host.ssh.host_key.startswith("ssh-ed25519 QUFB")
    assert len({host.ssh.host_key for host in cluster.hosts}) == 3
    assert "make machine node2 (192.168.56.12)" in desk.said()


def test_output_is_heard_as_it_comes(desk):
    desk.vagrant.provision(desk.cluster(), desk.events.append)
    heard = [event.text for event in desk.events if getattr(event, "level", "") == "debug"]
    assert heard[0] == "Bringing machine 'controller' up with 'virtualbox' provider..."
    assert heard[-1] == "==> node2: Machine booted and ready!"
    progress = [event for event in desk.events if hasattr(event, "done")]
    assert progress[-1].done == progress[-1].total == len(heard)


def test_machines_that_answer_need_no_vagrant(desk, without_vagrant):
    first = desk.vagrant.provision(desk.cluster(), desk.events.append)
    desk.answering |= set(ALL)
    without_vagrant()
    assert desk.vagrant.plan(desk.cluster()) == ()
    assert desk.vagrant.provision(desk.cluster(), desk.events.append) == first
    assert desk.vagrant.attach(desk.cluster()) == first


def test_one_machine_is_a_cluster_of_its_own(desk):
    cluster = desk.cluster(0)
    assert (cluster.name, cluster.hosts[0].name) == ("vagrant-sandbox", "sandbox")
    assert str(cluster.hosts[0].address) == "192.168.56.9"
    assert cluster.hosts[0].is_controller
    assert cluster.hosts[0].is_node
    desk.vagrant.provision(cluster, desk.events.append)
    assert "up sandbox --no-provision --provider=virtualbox" in verbs(desk)


def test_what_the_inventory_says_goes_before_settings_and_environment(desk):
    desk.environment["ROMANA_NODES"] = "1"
    assert len(desk.cluster().hosts) == 2
    cluster = desk.cluster(None, "nodes=3", "network.hosts=10.9.0.0/24", "vars.memory_mb=4096")
    desk.vagrant.provision(cluster, desk.events.append)
    told = next(told for words, told in desk.calls() if words[0] == "up")
    assert told["ROMANA_NODES"] == "3"
    assert told["ROMANA_NETWORK"] == "10.9.0.0/24"
    assert told["ROMANA_MEMORY"] == "4096"


def test_the_provider_is_the_environments_or_that_of_machines_or_that_of_the_settings(desk):
    desk.environment["VAGRANT_DEFAULT_PROVIDER"] = "libvirt"
    cluster = desk.cluster(1)
    assert str(cluster.network.hosts) == "192.168.57.0/24"
    desk.vagrant.provision(cluster, desk.events.append)
    assert "up --no-provision --provider=libvirt" in verbs(desk)
    del desk.environment["VAGRANT_DEFAULT_PROVIDER"]
    assert desk.cluster(1) == cluster
    desk.states(controller="running", node1="poweroff")
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    assert "up --no-provision --provider=libvirt" in verbs(desk)


def test_a_machine_that_was_made_anew_has_another_key(desk):
    first = desk.vagrant.provision(desk.cluster(1), desk.events.append)
    desk.states(controller="running", node1="not_created")
    assert desk.vagrant.plan(desk.cluster(1)) == (
        "wait for machine controller, which runs and does not answer at 192.168.56.10",
        "make machine node1 (192.168.56.11) anew: it is gone from its provider",
    )
    again = desk.vagrant.provision(desk.cluster(1), desk.events.append)
    assert again.hosts[0] == first.hosts[0]
    assert again.hosts[1].ssh.host_key != first.hosts[1].ssh.host_key


def test_a_machine_that_someone_else_started_is_learnt_of(desk):
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    (desk.cluster(1).state / "vagrant.json").unlink()
    desk.answering |= set(ALL)
    attached = desk.vagrant.attach(desk.cluster(1))
    assert attached == desk.cluster(1), "what is not known comes back as it was"
    assert desk.vagrant.plan(desk.cluster(1)) == (
        "learn the host key of machine controller, which runs",
        "learn the host key of machine node1, which runs",
    )
    desk.calls()
    assert desk.vagrant.provision(desk.cluster(1), desk.events.append).hosts[1].ssh.host_key
    assert not [call for call in verbs(desk) if call.startswith("up")]


@pytest.mark.parametrize("state", ["aborted", "saved", "poweroff", "stopped", "shutoff"])
def test_a_machine_that_is_down_is_started(desk, state):
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    desk.answering = {"controller"}
    # python-vagrant gives libvirt's words as VirtualBox's.
    desk.states(controller="running", node1=state)
    assert desk.vagrant.plan(desk.cluster(1)) == (f"start machine node1, which is {state}",)
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    assert f"start machine node1, which is {state}" in desk.said()


@pytest.mark.parametrize("state", ["inaccessible", "gurumeditation", "unknown", ""])
def test_a_machine_in_an_odd_state_is_not_touched(desk, state):
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    desk.states(controller="running", node1=state)
    desk.calls()
    with pytest.raises(PlatformError, match="machine node1 is ") as raised:
        desk.vagrant.provision(desk.cluster(1), desk.events.append)
    assert raised.value.advice.endswith("to make it anew: vagrant destroy node1")
    assert verbs(desk) == ["status --machine-readable"]


def test_a_machine_that_does_not_answer_is_a_warning_with_what_to_do(desk):
    desk.answering = {"controller"}
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    (warning,) = [event.text for event in desk.events if getattr(event, "level", "") == "warning"]
    assert warning == (
        "machine node1 runs, and does not answer at 192.168.56.11; start it anew: "
        "vagrant reload node1"
    )


def test_a_machine_that_boots_is_waited_for(desk):
    asked = []

    def listens(host):
        asked.append(host.name)
        return len(asked) > 6

    Vagrant(desk.folder, desk.environment, listens).provision(desk.cluster(1), desk.events.append)
    assert len(asked) > 6
    assert not [event for event in desk.events if getattr(event, "level", "") == "warning"]


def test_a_machine_that_did_not_become_ready_says_so(desk):
    desk.fails(ssh_config=(SAID / "not ready.txt").read_text())
    with pytest.raises(PlatformError, match="a machine is not ready for SSH") as raised:
        desk.vagrant.provision(desk.cluster(1), desk.events.append)
    assert "vagrant reload" in raised.value.advice


def test_a_machine_without_a_host_key_is_refused(desk):
    desk.fails(ssh="")
    with pytest.raises(PlatformError, match="vagrant ssh"):
        desk.vagrant.provision(desk.cluster(1), desk.events.append)


def test_an_answer_that_cannot_be_read_is_a_line(desk):
    (desk.directory / "bin/vagrant").write_text("#!/bin/sh\necho nonsense\n")
    with pytest.raises(PlatformError, match="vagrant status: its answer cannot be read"):
        desk.vagrant.plan(desk.cluster(1))


def test_without_vagrant_there_is_another_way(desk, without_vagrant):
    without_vagrant()
    with pytest.raises(PlatformError, match="Vagrant is not installed") as raised:
        desk.vagrant.plan(desk.cluster())
    assert "romana-install sandbox" in raised.value.advice


@pytest.mark.parametrize("verb", ["status", "up"])
def test_what_vagrant_says_is_explained_and_kept(desk, verb):
    desk.fails(**{verb: (SAID / "plugin missing.txt").read_text()})
    with pytest.raises(PlatformError, match=f"vagrant {verb}: Vagrant has no provider libvirt"):
        desk.vagrant.provision(desk.cluster(), desk.events.append)
    if verb == "up":
        assert "Vagrant knows about the following providers" in "\n".join(desk.said())


def test_only_what_vagrant_has_is_destroyed_and_all_of_it(desk):
    desk.vagrant.provision(desk.cluster(0), desk.events.append)
    desk.vagrant.provision(desk.cluster(3), desk.events.append)
    desk.calls()
    desk.vagrant.destroy(desk.cluster(1), desk.events.append)
    calls = desk.calls()
    assert [words for words, _ in calls] == [
        ["destroy", name, "--force"] for name in ("controller", "node1", "node2", "node3")
    ]
    assert all(told["ROMANA_NODES"] == "3" for _, told in calls)
    assert json.loads((desk.directory / "states.json").read_text()) == {"sandbox": "running"}
    desk.vagrant.destroy(desk.cluster(1), desk.events.append)
    assert desk.calls() == []


def test_what_vagrant_does_not_remove_is_told(desk):
    desk.vagrant.provision(desk.cluster(1), desk.events.append)
    (desk.directory / "bin/vagrant").write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(PlatformError, match="has not removed controller, node1") as raised:
        desk.vagrant.destroy(desk.cluster(1), desk.events.append)
    assert "vagrant destroy controller node1" in raised.value.advice


def told(*names):
    machine = {"id": "i", "provider": "lxc", "user": "vagrant", "key": "/k"}
    keys = ["ssh-rsa QkJC root@x", "ssh-ed25519 QUFB root@x"]
    return json.dumps({name: {**machine, "host_keys": keys} for name in names})


def test_called_by_vagrant_it_does_not_call_vagrant(desk, without_vagrant):
    without_vagrant()
    desk.environment["ROMANA_VAGRANT"] = told("controller", "node1")
    assert desk.vagrant.plan(desk.cluster(1)) == ()
    cluster = desk.vagrant.provision(desk.cluster(1), desk.events.append)
    assert [host.ssh.host_key for host in cluster.hosts] == ["ssh-ed25519 QUFB"] * 2
    desk.environment["ROMANA_VAGRANT"] = "{}"
    desk.vagrant.destroy(desk.cluster(1), desk.events.append)
    assert desk.calls() == []


@pytest.mark.parametrize("text", ["", "[]", '{"controller": {}}', '{"controller": 1}'])
def test_what_vagrant_tells_is_read_strictly(desk, text):
    desk.environment["ROMANA_VAGRANT"] = text
    with pytest.raises(PlatformError, match="ROMANA_VAGRANT is not what the Vagrantfile writes"):
        desk.vagrant.provision(desk.cluster(1), desk.events.append)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("cluster.name=mine",), "the Vagrantfile has no cluster mine"),
        (("cluster.name=vagrant-sandbox",), "the Vagrantfile has no cluster vagrant-sandbox"),
    ],
)
def test_a_cluster_that_the_vagrantfile_does_not_have_is_refused(desk, settings, says):
    with pytest.raises(PlatformError, match=says):
        desk.vagrant.plan(desk.cluster(1, *settings))


def test_hosts_that_the_vagrantfile_does_not_have_are_refused(desk):
    hosts = (
        "hosts={controller: {address: 192.168.56.10}, alpha: {address: 192.168.56.11}}",
        "groups={controller: [controller], nodes: [alpha]}",
    )
    with pytest.raises(PlatformError, match="no machine alpha with the address 192") as raised:
        desk.vagrant.plan(desk.cluster(None, *hosts))
    assert "use nodes: 1 instead of hosts" in raised.value.advice


def test_the_api_server_is_at_its_own_address(desk):
    assert desk.vagrant.publish(desk.cluster()) == "https://192.168.56.10:6443"
    assert desk.vagrant.inside(desk.cluster()) == ()
