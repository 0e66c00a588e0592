"""What the LXC box adds to the sandbox's root file system, as values (pure)."""

from __future__ import annotations

from installer.platforms.sandbox.content import LINKS as SANDBOX_LINKS
from installer.platforms.sandbox.identity import Seed

USER_ID = 1000
HOME = "/home/vagrant"

PUBLIC_KEY = (
    "ssh-rsa "
    "AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v"
    "1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8Hfd"
    "OV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEn"
    "DkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9W"
    "hQ== vagrant insecure public key"
)
"""The one every box has (keys/vagrant.pub of Vagrant); Vagrant replaces it at the first boot."""

METADATA = '{"provider": "lxc", "version": "1.0.0"}\n'
"""For vagrant-lxc, which takes no other version without a warning."""

LXC_CONFIG = """\
lxc.apparmor.profile = unconfined
lxc.mount.auto = cgroup:rw:force proc:rw sys:rw
lxc.mount.entry = /dev/kmsg dev/kmsg none bind,optional,create=file 0 0
lxc.cap.drop =
lxc.tty.max = 0
"""
"""A container that carries containers: with every capability, and the kernel's log for the
kubelet."""

_KEYS = """\
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
"""

_NAMES_UNIT = "/etc/systemd/system/romana-names.service"
_NAMES_SCRIPT = "/usr/local/lib/romana-names"
_NAMES = f"""\
[Unit]
Description=The container's own name, and the resolver of its bridge
Before=ssh.service

[Service]
Type=oneshot
ExecStart={_NAMES_SCRIPT}

[Install]
WantedBy=multi-user.target
"""
_NAME_LOOKUP = """\
#!/bin/sh
# LXC's bridge answers for names where the default route leads. The own name must be known even
# where nothing answers: sudo waits for it.
set -eu
printf '127.0.0.1 localhost\\n::1 localhost ip6-localhost\\n127.0.1.1 %s\\n' \\
    "$(cat /proc/sys/kernel/hostname)" >/etc/hosts
ip -4 route show default | while read -r _ _ gateway _; do echo "nameserver $gateway"; done \\
    >/etc/resolv.conf
"""

LINKS: tuple[tuple[str, str], ...] = (
    *((path, target) for path, target in SANDBOX_LINKS if target == "/dev/null"),
    ("/etc/systemd/system/multi-user.target.wants/romana-names.service", _NAMES_UNIT),
)
"""Path and target: what the sandbox masks too, since LXC makes the network from outside."""


def seeds(passwd: str, group: str, shadow: str) -> tuple[Seed, ...]:
    """The files that the box has beside the root file system's own.

    Args:
        passwd: the root file system's /etc/passwd.
        group: its /etc/group.
        shadow: its /etc/shadow.
    """
    return (
        Seed(path="/etc/passwd", text=f"{passwd}vagrant:x:{USER_ID}:{USER_ID}::{HOME}:/bin/bash\n"),
        Seed(path="/etc/group", text=f"{group}vagrant:x:{USER_ID}:\n"),
        Seed(path="/etc/shadow", text=f"{shadow}vagrant:*:19000:0:99999:7:::\n", mode=0o640),
        Seed(path="/etc/sudoers.d/vagrant", text="vagrant ALL=(ALL) NOPASSWD: ALL\n", mode=0o440),
        # Empty, not missing: then the first boot makes one and asks nothing (machine-id(5)).
        Seed(path="/etc/machine-id", text=""),
        Seed(path="/etc/ssh/sshd_config.d/vagrant.conf", text="UseDNS no\nPrintMotd no\n"),
        Seed(path="/etc/systemd/system/ssh.service.d/keys.conf", text=_KEYS),
        Seed(path=_NAMES_UNIT, text=_NAMES),
        Seed(path=_NAMES_SCRIPT, text=_NAME_LOOKUP, mode=0o755),
        Seed(path=f"{HOME}/.ssh/authorized_keys", text=f"{PUBLIC_KEY}\n", mode=0o600),
    )
