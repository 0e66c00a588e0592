"""The shell text that starts a host and keeps it: pure, so that it can be read and tested.

The outer script is the host's supervisor. It lives in the host's control groups and in this
machine's mount namespace; it makes the network namespace anew for each boot, as a reboot would, and
boots again when the host asked for a reboot. The inner one lives in a mount namespace of its own:
the overlay is mounted there, and nothing stays mounted when it dies, however it dies.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from installer.platforms.sandbox.cgroups import Seats

FORCE_RESTART = 133
"""How systemd-nspawn with --keep-unit says that the host asked for a reboot."""

SYSCALLS = "add_key keyctl bpf perf_event_open"
"""What containerd, runc and the kubelet need and systemd-nspawn withholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that starting a host takes.

    `directory` holds `root` (where the overlay is mounted), `upper`, `work` and `data`; `data` has
    a directory for each of `binds`, mounted over that path of the host. `shared` are read-only.
    `network` is the command that makes the host's network namespace `namespace`.
    """

    name: str
    hostname: str
    directory: Path
    image: Path
    namespace: Path
    network: tuple[str, ...]
    seats: Seats
    unified: bool
    binds: tuple[str, ...]
    shared: tuple[tuple[Path, str], ...]


def data_directory(directory: Path, path: str) -> Path:
    """Where a host's `path` lies on this machine, when it is bind-mounted."""
    return directory / "data" / path.strip("/").replace("/", "-")


def supervise(launch: Launch) -> str:
    """The outer script, for `sh -eu -c`."""
    inner = shlex.join(
        ("unshare", "--mount", "--propagation", "slave", "sh", "-eu", "-c", boot(launch))
    )
    return f"""\
echo $$ >{shlex.quote(str(launch.directory / "pid"))}
{join(launch.seats.supervisor)}
cd /
while :; do
    {shlex.join(launch.network)}
    code=0
    {inner} || code=$?
    [ "$code" = {FORCE_RESTART} ] || exit "$code"
done
"""


def boot(launch: Launch) -> str:
    """The inner script: mount, then become systemd-nspawn."""
    here = launch.directory
    layers = f"lowerdir={launch.image},upperdir={here}/upper,workdir={here}/work"
    root = shlex.quote(str(here / "root"))
    # Its lock on the root would outlive a host that was killed, as a file of no one's name.
    environment = "SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes SYSTEMD_NSPAWN_LOCK=0"
    if launch.unified:
        environment += " SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"
    # `volatile` spares the fsync of every package installation. It leaves a mark that forbids the
    # next mount, since after a crash of this machine the upper layer would be unsound; kernels
    # before 5.10 do not know it.
    return f"""\
{join(launch.seats.host)}
rm -rf {shlex.quote(str(here / "work/work/incompat"))}
mount -t overlay overlay -o {shlex.quote(layers + ",volatile")} {root} 2>/dev/null ||
    mount -t overlay overlay -o {shlex.quote(layers)} {root}
export {environment}
exec {shlex.join(nspawn(launch))}
"""


def join(groups: tuple[Path, ...]) -> str:
    """Shell text: this process into these control groups."""
    return "\n".join(f"echo $$ >{shlex.quote(str(group / 'cgroup.procs'))}" for group in groups)


def nspawn(launch: Launch) -> tuple[str, ...]:
    """The command line of systemd-nspawn."""
    binds = [f"--bind={data_directory(launch.directory, path)}:{path}" for path in launch.binds]
    shared = [f"--bind-ro={source}:{path}" for source, path in launch.shared]
    return (
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--boot",
        f"--directory={launch.directory / 'root'}",
        f"--machine={launch.name}",
        f"--hostname={launch.hostname}",
        f"--network-namespace-path={launch.namespace}",
        "--capability=all",
        f"--system-call-filter={SYSCALLS}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--bind=/dev/kmsg",
        *binds,
        *shared,
    )
