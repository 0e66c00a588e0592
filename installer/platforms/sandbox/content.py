"""What the base root file system holds, and what every host has on top of it, as values."""

from __future__ import annotations

PACKAGES = (
    "ca-certificates", "curl", "dbus", "iproute2", "iputils-ping", "kmod", "less", "libpam-systemd",
    "netcat-openbsd", "openssh-server", "procps", "python3", "sudo", "systemd-sysv",
)  # fmt: skip
"""What any server has. python3 brings the whole standard library."""

APT_SOURCE = "deb [trusted=yes] file:/var/cache/romana/packages ./"
"""The sandbox's directory of packages, as hosts see it; trusted because this machine wrote it."""
APT_SOURCE_FILE = "/etc/apt/sources.list.d/romana.list"

_CGROUPS_SCRIPT = """\
#!/bin/sh
# systemd-nspawn mounts control groups read-only; the kubelet and runc make their own.
set -eu
while read -r _ path kind _; do
    case $kind:$path in
        tmpfs:/sys/fs/cgroup) mount -o remount,rw "$path" ;;
        cgroup*:/sys/fs/cgroup*) mount -o remount,bind,rw "$path" ;;
    esac
done </proc/mounts
"""

_CGROUPS_UNIT = """\
[Unit]
Description=Control groups writable for containers
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/romana-sandbox/cgroups

[Install]
WantedBy=sysinit.target
"""

_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
PrintMotd no
"""

_JOURNAL = """\
[Journal]
Storage=persistent
SystemMaxUse=64M
"""

_UNIT = "/etc/systemd/system/romana-sandbox-cgroups.service"

FILES: tuple[tuple[str, str], ...] = (
    ("/usr/local/lib/romana-sandbox/cgroups", _CGROUPS_SCRIPT),
    (_UNIT, _CGROUPS_UNIT),
    ("/etc/ssh/sshd_config.d/romana-sandbox.conf", _SSHD),
    ("/etc/systemd/journald.conf.d/romana-sandbox.conf", _JOURNAL),
    # No way out: the release's own archive would only time out.
    ("/etc/apt/sources.list", ""),
    (APT_SOURCE_FILE, f"{APT_SOURCE}\n"),
    ("/etc/apt/apt.conf.d/90romana-sandbox", 'Acquire::Languages "none";\n'),
    ("/etc/resolv.conf", "# A host of the sandbox has no way out, and no resolver.\n"),
)
"""Path and text; text that starts with #! is executable."""

_MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty.target", "motd-news.timer",
    "systemd-networkd.service", "systemd-networkd.socket", "systemd-resolved.service",
    "systemd-timesyncd.service", "ua-timer.timer",
)  # fmt: skip
"""The network is made from outside, the clock is this machine's, and nobody sits at the console."""

LINKS: tuple[tuple[str, str], ...] = (
    ("/etc/systemd/system/sysinit.target.wants/romana-sandbox-cgroups.service", _UNIT),
    *((f"/etc/systemd/system/{unit}", "/dev/null") for unit in _MASKED),
)
"""Path and target."""

REMOVED = (
    "etc/ssh/ssh_host_*",
    "etc/resolv.conf",
    "etc/hostname",
    "etc/machine-id",
    # A host's boot would set these for this machine's kernel, which it shares.
    "etc/sysctl.d/*.conf",
    "usr/lib/sysctl.d/*",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "debootstrap",
)
"""What debootstrap leaves that each host must not share, or nobody needs. Glob patterns."""
