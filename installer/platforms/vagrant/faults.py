"""What Vagrant and its providers say when something is wrong, and what that means. Pure.

The phrases are those of Vagrant's own templates/locales/en.yml, of VBoxManage, and of the plugins
vagrant-libvirt and vagrant-lxc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from installer.errors import PlatformError


@dataclass(frozen=True, slots=True)
class _Fault:
    """`phrase` is matched against the whole text, its words over line ends; names of groups can be
    used in `message` and `advice`."""

    phrase: str
    message: str
    advice: str


_SETTINGS = "vagrant/settings.yml"
_FAULTS = (
    _Fault(
        r"The provider '(?P<provider>[^']*)' could not be found",
        "Vagrant has no provider {provider}",
        "install it (vagrant plugin install vagrant-{provider}), or choose another: "
        f"VAGRANT_DEFAULT_PROVIDER, or provider in {_SETTINGS}",
    ),
    _Fault(
        r"The provider '(?P<provider>[^']*)' that was requested.*?isn't usable.*?"
        r"shown below:\s*(?P<reason>[^\n]*)",
        "the provider {provider} cannot be used here: {reason}",
        "install what it needs, or choose another: VAGRANT_DEFAULT_PROVIDER, or provider in "
        f"{_SETTINGS}",
    ),
    _Fault(
        r'VBoxManage" command or one of its dependencies could not be found',
        "VirtualBox is not installed, or VBoxManage is not on PATH",
        "install VirtualBox, or choose another provider: VAGRANT_DEFAULT_PROVIDER",
    ),
    _Fault(
        r"VirtualBox is complaining that the (?P<what>kernel module is not loaded|installation is "
        r"incomplete)",
        "VirtualBox says that its {what}",
        "run VBoxManage --version, which says how to mend it",
    ),
    _Fault(
        r"`lxc` package does not seem to be installed",
        "LXC is not installed",
        "install it: apt-get install lxc vagrant-lxc",
    ),
    _Fault(
        r"active machine was found with a different provider.*?Machine name: (?P<name>\S+)\s+"
        r"Active provider: (?P<active>\S+)",
        "{name} exists already, with the provider {active}",
        "go on with that: VAGRANT_DEFAULT_PROVIDER={active}; or remove it: vagrant destroy {name}",
    ),
    _Fault(
        r"box you're attempting to add doesn't support the provider.*?Name: (?P<box>\S+).*?"
        r"Requested provider: (?P<provider>\S+)",
        "the box {box} does not exist for the provider {provider}",
        f"name another: ROMANA_BOX, or box in {_SETTINGS}",
    ),
    _Fault(
        r"Couldn't open file (?P<path>/\S*lxc-box\S*)",
        "the box for LXC machines is missing",
        "make it, once: romana-install lxc-box",
    ),
    _Fault(
        r"box '(?P<box>[^']*)' (could not be found|does not exist|isn't installed)",
        "the box {box} is missing, and cannot be had",
        f"check its name (ROMANA_BOX, or box in {_SETTINGS}) and the way to the network, or add it "
        "from a file: vagrant box add --name NAME FILE",
    ),
    _Fault(
        r"error occurred while downloading the remote file.*?try again\.\s*(?P<reason>[^\n]+)",
        "the box cannot be downloaded: {reason}",
        f"check the way to the network, or name another box: ROMANA_BOX, or box in {_SETTINGS}",
    ),
    _Fault(
        r"not within the allowed ranges.*?Address: (?P<address>\S+)\s+Ranges: (?P<ranges>[^\n]+)",
        "VirtualBox does not allow the address {address}, only {ranges}",
        f"change the network (ROMANA_NETWORK, or network in {_SETTINGS}), or allow it in "
        "/etc/vbox/networks.conf",
    ),
    _Fault(
        r"collides with a non-hostonly network",
        "the machines' network is one that this machine has already",
        f"choose another: ROMANA_NETWORK, or network in {_SETTINGS}",
    ),
    _Fault(
        r"[Nn]etwork is already in use by interface (?P<interface>[\w.-]*\w)",
        "the machines' network is already in use by {interface}",
        f"choose another: ROMANA_NETWORK, or network in {_SETTINGS}",
    ),
    _Fault(
        r"VM has become \"inaccessible",
        "a machine is inaccessible to VirtualBox",
        "remove it in VirtualBox, then: vagrant destroy",
    ),
    _Fault(
        r"container on your system with the same name.*?\((?P<name>[^)]*)\)",
        "a container {name} exists that Vagrant does not know",
        "remove it: lxc-destroy -f -n {name}",
    ),
    _Fault(
        r"attempted on the machine '(?P<name>[^']*)',\s+but another process",
        "another Vagrant is at work on {name}",
        "run again when it is done",
    ),
    _Fault(
        r"Timed out while waiting for the machine to boot",
        "a machine was started, but does not answer",
        "look at it in its provider, then: vagrant reload NAME; or vagrant destroy NAME",
    ),
    _Fault(
        r"guest machine entered an invalid state.*?'(?P<state>[^']*)'\s+state\. Please",
        "a machine was started, and is now {state}",
        "look at it in its provider; vagrant destroy NAME makes room for a new one",
    ),
    _Fault(
        r"provider for this Vagrant-managed machine is reporting that it\s+is not yet ready",
        "a machine is not ready for SSH",
        "see which with: vagrant status; then: vagrant reload NAME",
    ),
    _Fault(
        r"Path: (?P<path>\S+)\s+Line number: (?P<line>\d+)\s+Message: (?P<message>[^\n]+)",
        "the Vagrantfile cannot be read: {path}:{line}: {message}",
        "mend that line, or restore the file with git",
    ),
)


def explain(doing: str, text: str) -> PlatformError:
    """What Vagrant's words mean, in a line, with what to do next.

    Args:
        doing: what Vagrant was asked for: "vagrant up".
        text: all that it has said.
    """
    # What is said in its machine-readable form has its line ends and commas spelt out.
    text = text.replace("\\n", "\n").replace("%!(VAGRANT_COMMA)", ",")
    for fault in _FAULTS:
        phrase = re.sub(r" ", r"\\s+", fault.phrase)
        if match := re.search(phrase, text, re.DOTALL):
            said = {
                key: " ".join((value or "").split()) for key, value in match.groupdict().items()
            }
            return PlatformError(
                f"{doing}: {fault.message.format(**said)}", fault.advice.format(**said)
            )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return PlatformError(
        f"{doing} failed: {'; '.join(lines[-3:]) or 'it said nothing'}",
        "remove the cause and run again; vagrant status shows the machines",
    )
