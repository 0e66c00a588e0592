"""Vagrant for real, with containers of LXC as machines: the commands of docs/vagrant.md, in the
order of that page, from `vagrant up sandbox` to nothing left."""

import json
import re
import time
from pathlib import Path

import pytest
from documented import Page

ROOT = Path(__file__).parents[3]
PAGE = Page("vagrant.md")
pytestmark = PAGE.mark
UP = "vagrant up sandbox"
PROVISION = "vagrant provision sandbox"
SSH = "vagrant ssh sandbox -c 'sudo romana status'"
STATUS = "romana-install status -n vagrant-sandbox"
TEST = "romana-install test -n vagrant-sandbox"
KUBECONFIG = "export KUBECONFIG=$(romana-install kubeconfig -n vagrant-sandbox)"
CHECK = "romana-install vagrant -c 0 --check"
HALT = "vagrant halt sandbox"
INSTALL = "romana-install vagrant -c 0"
INSTALL_SEVERAL = "romana-install vagrant"
DESTROY = "vagrant destroy -f sandbox"
SEVERAL = "vagrant up"
AGAIN = "vagrant provision"
DESTROY_ALL = "vagrant destroy -f"
FINISH = "romana-install destroy -n vagrant-sandbox --yes"


def recap(output):
    """The recap's counts of the machine: ok, changed, failed, skipped, unreachable."""
    line = re.findall(r"^sandbox +([\d ]+)$", output, re.MULTILINE)[-1]
    return [int(word) for word in line.split()[:5]]


@pytest.fixture(scope="module")
def up(machine):
    """The first `vagrant up sandbox`: what it printed."""
    began = time.monotonic()
    output = machine.do(UP)
    print(f"{UP}: {time.monotonic() - began:.1f} s")
    yield output
    machine.run(DESTROY)


def test_vagrant_up_is_a_proven_cluster(machine, up):
    assert re.search(r"^smoke test: all \d+ checks passed$", up, re.MULTILINE)
    assert recap(up)[1] > 50
    assert recap(up)[2:] == [0, 0, 0]
    assert len(machine.containers()) == 1


def test_vagrant_provision_finds_nothing_to_do(machine, up):
    began = time.monotonic()
    output = machine.do(PROVISION)
    print(f"{PROVISION}: {time.monotonic() - began:.1f} s")
    assert recap(output)[1:] == [0, 0, 0, 0]


def test_the_other_commands_know_the_cluster(machine, up):
    assert "in force" in machine.do(SSH)
    assert "all is well" in machine.do(STATUS)
    assert "smoke test" not in machine.do(CHECK, "--json")
    path = machine.do(KUBECONFIG, then='echo "$KUBECONFIG"').strip()
    assert "server: https://198.18.8.9:6443" in machine.do(f"cat {path}")
    assert "checks passed" in machine.do(TEST)
    machine.do("romana-install ssh -n vagrant-sandbox sandbox -- sudo romana status")


def test_a_machine_with_another_host_key_than_the_first_is_refused(machine, up):
    record = f"{machine.home}/.local/state/romana/clusters/vagrant-sandbox/vagrant.json"
    machine.do(f"cp {record} {record}.kept && ssh-keygen -q -t ed25519 -N '' -f {record}.other")
    key = " ".join(machine.do(f"cat {record}.other.pub").split()[:2])
    machine.do(f'sed -i \'s,"host_key": .*,"host_key": "{key}",\' {record}')
    refused = machine.run(CHECK)
    machine.do(f"mv {record}.kept {record}")
    assert refused.returncode == 1
    assert "is pinned" in refused.stdout


def test_romana_install_takes_a_machine_that_it_does_not_know(machine, up):
    machine.do(f"rm {machine.home}/.local/state/romana/clusters/vagrant-sandbox/vagrant.json")
    pending = machine.run(CHECK)
    assert pending.returncode == 2
    assert "would learn the host key of machine sandbox, which runs" in pending.stdout
    assert recap(machine.do(INSTALL, "--yes"))[1:] == [0, 0, 0, 0]
    machine.do(CHECK)


def nothing_left(machine):
    assert machine.containers() == []
    assert machine.do(f"ls {machine.home}/.local/state/romana/clusters").split() == []
    assert machine.do(f"find {machine.home}/dotfiles -name id") == ""
    limit = time.monotonic() + 60
    while re.search(r"lxc|systemd|kube|etcd", alive := machine.do("ps -e -o comm=")):
        assert time.monotonic() < limit, alive
        time.sleep(0.1)


def test_vagrant_destroy_leaves_nothing(machine, up):
    assert "cluster vagrant-sandbox is gone" in machine.do(DESTROY)
    nothing_left(machine)


def test_romana_install_makes_a_machine_and_destroys_it(machine):
    """The installation stops before it begins, so that this takes no minute."""
    install = f"{INSTALL} --yes --set cluster.kubernetes=v1.98.0"
    stopped = machine.run(install)
    assert stopped.returncode == 1
    assert "make machine sandbox (198.18.8.9)" in stopped.stdout
    assert "v1.98" in stopped.stderr
    machine.do(HALT)
    assert "would start machine sandbox, which is stopped" in machine.run(CHECK).stdout
    again = machine.run(install)
    assert "start machine sandbox, which is stopped" in again.stdout
    assert "v1.98" in again.stderr, "it was reached by the same key"
    machine.do(FINISH)
    nothing_left(machine)


RECORDER = """\
#!/bin/sh
# Stands in for romana-install: keeps what it was called with, and a state as that would.
echo "$*" >>"{calls}"
echo "$ROMANA_VAGRANT" >>"{calls}"
state=$HOME/.local/state/romana/clusters/vagrant
mkdir -p "$state" && touch "$state/request.json"
case $1 in destroy) rm -r "$state" ;; esac
"""


@pytest.fixture(scope="module")
def project(machine, tmp_path_factory):
    """A project with our Vagrantfile, in which romana-install and make only keep what they are
    told: (its Vagrantfile's folder, a function for the calls since the last time)."""
    root = tmp_path_factory.mktemp("project")
    calls = root / "calls"
    machine.do(f"cp -r {ROOT}/vagrant {root}/vagrant")
    (root / "recorder").write_text(RECORDER.format(calls=calls))
    (root / "Makefile").write_text(
        "setup:\n\tmkdir -p .venv/bin\n\tinstall -m 755 recorder .venv/bin/romana-install\n"
    )

    def since():
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return list(zip(lines[::2], map(json.loads, lines[1::2]), strict=True))

    yield root / "vagrant", since
    with machine.told(ROMANA_NODES="1") as told:
        told.run(DESTROY_ALL, where=root / "vagrant")


def test_a_cluster_of_several_is_installed_once_after_the_last_machine(machine, project):
    folder, since = project
    with machine.told(ROMANA_NODES="1") as told:
        output = told.do(SEVERAL, where=folder)
        assert "romana-install is missing: make setup" in output
        ((words, machines),) = since()
        assert words == "vagrant -n vagrant --yes -c 1"
        assert sorted(machines) == ["controller", "node1"]
        for value in machines.values():
            assert (value["user"], value["provider"]) == ("vagrant", "lxc")
            assert any(key.startswith("ssh-ed25519 ") for key in value["host_keys"])
        told.do(AGAIN, where=folder)
        assert [words for words, _ in since()] == ["vagrant -n vagrant --yes -c 1"]
        _install_for_real(told)
        told.do("vagrant destroy -f node1", where=folder)
        assert since() == [], "a cluster is not gone with one of its machines"
        output = told.do(AGAIN, where=folder)
        assert "vagrant is installed once node1 is up too" in output
        assert since() == []
        told.do(DESTROY_ALL, where=folder)
        assert since() == [("destroy -n vagrant --yes", {})]
    assert machine.containers() == []


def _install_for_real(machine):
    """From the command line, on machines that are there. Without the smoke test, which the cluster
    in one machine has passed."""
    began = time.monotonic()
    told = machine.do(INSTALL_SEVERAL, "--json", "--yes", "--set", "cluster.smoke=false")
    print(f"{INSTALL_SEVERAL}: {time.monotonic() - began:.1f} s")
    recap = json.loads(told.splitlines()[-1])
    assert [host["host"] for host in recap["hosts"]] == ["controller", "node1"]
    assert all(host["changed"] > 20 for host in recap["hosts"])


def test_settings_that_are_unsound_are_one_line(machine):
    done = machine.run("ROMANA_NODES=many vagrant status")
    assert done.returncode != 0
    assert 'nodes should be a number, is "many": mend it in vagrant/settings.yml' in done.stderr


def test_an_lxc_box_that_is_missing_is_a_line(machine):
    done = machine.run(f"XDG_CACHE_HOME=/nowhere {INSTALL} --yes")
    assert done.returncode == 1
    assert "error: vagrant up: the box for LXC machines is missing" in done.stderr
    assert "romana-install lxc-box" in done.stderr


def test_a_provider_that_is_missing_is_a_line(machine):
    done = machine.run(f"VAGRANT_DEFAULT_PROVIDER=virtualbox {INSTALL} --yes")
    assert done.returncode == 1
    assert "the provider virtualbox cannot be used here: Vagrant could not" in done.stderr


def test_every_command_of_the_page_was_typed(machine):
    assert PAGE.left() == []
