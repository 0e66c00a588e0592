"""What is made of Vagrant's words: `said/` has them as Vagrant 2.3.4, its providers and its plugins
write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from installer.platforms.vagrant.faults import explain

SAID = Path(__file__).parent / "said"
MEANT = {
    "aborts while it boots": ("a machine was started, and is now gurumeditation", "destroy NAME"),
    "address not allowed": (
        "VirtualBox does not allow the address 10.0.3.10, only 192.168.56.0/21",
        "ROMANA_NETWORK, or network in vagrant/settings.yml), or allow it in /etc/vbox/networks",
    ),
    "boot takes too long": ("a machine was started, but does not answer", "vagrant reload NAME"),
    "box not for the provider": (
        "the box cloud-image/ubuntu-24.04 does not exist for the provider libvirt",
        "ROMANA_BOX",
    ),
    "box unknown": ("the box cloud-image/ubuntu-24.40 is missing", "check its name"),
    "download fails": (
        "the box cannot be downloaded: Could not resolve host: vagrantcloud.example",
        "check the way to the network",
    ),
    "inaccessible": ("a machine is inaccessible to VirtualBox", "vagrant destroy"),
    "locked": ("another Vagrant is at work on node1", "run again when it is done"),
    "lxc box missing": ("the box for LXC machines is missing", "romana-install lxc-box"),
    "lxc missing": ("LXC is not installed", "apt-get install lxc vagrant-lxc"),
    "network collides": ("network is one that this machine has already", "ROMANA_NETWORK"),
    "network of libvirt in use": ("network is already in use by vboxnet0", "ROMANA_NETWORK"),
    "not ready": ("a machine is not ready for SSH", "vagrant status; then: vagrant reload NAME"),
    "other provider": (
        "sandbox exists already, with the provider lxc",
        "VAGRANT_DEFAULT_PROVIDER=lxc; or remove it: vagrant destroy sandbox",
    ),
    "plugin missing": (
        "Vagrant has no provider libvirt",
        "vagrant plugin install vagrant-libvirt), or choose another: VAGRANT_DEFAULT_PROVIDER",
    ),
    "something else": ("VBoxManage: error: Out of memory", "remove the cause and run again"),
    "unknown container": ("container sandbox exists that", "lxc-destroy -f -n sandbox"),
    "vagrantfile": (
        "cannot be read: /home/me/romana/vagrant/Vagrantfile:12: NameError: undefined local",
        "mend that line",
    ),
    "vboxmanage missing": ("VirtualBox is not installed", "VAGRANT_DEFAULT_PROVIDER"),
    "virtualbox half installed": ("its kernel module is not loaded", "VBoxManage --version"),
    "virtualbox missing": (
        "the provider virtualbox cannot be used here: Vagrant could not detect VirtualBox!",
        "VAGRANT_DEFAULT_PROVIDER, or provider in vagrant/settings.yml",
    ),
    "virtualbox missing, to a program": (
        "the provider virtualbox cannot be used here: Vagrant could not detect VirtualBox!",
        "install what it needs",
    ),
}


@pytest.mark.parametrize("name", sorted(MEANT))
def test_words_become_a_line_and_a_next_step(name: str) -> None:
    error = explain("vagrant up", (SAID / f"{name}.txt").read_text())
    message, advice = MEANT[name]
    assert error.message.startswith("vagrant up")
    assert message in error.message
    assert advice in error.advice
    assert "\n" not in error.message + error.advice
    assert not re.search(r"[{}]", error.message + error.advice)


def test_every_recorded_word_has_a_meaning() -> None:
    assert sorted(path.stem for path in SAID.iterdir()) == sorted(MEANT)


def test_silence_is_said_to_be_silence() -> None:
    assert explain("vagrant up", "\n").message == "vagrant up failed: it said nothing"
