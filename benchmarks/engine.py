"""The installer's engine beside ansible-core: twenty files on some hosts, and again nothing to do.

    .venv/bin/python benchmarks/engine.py --hosts 5,50 --delays 0,20 --rounds 3

Each host is an OpenSSH server of its own with a file system of its own under `ROOT` (a mount
namespace), all in one network namespace without a link; `--delays` are round trips in ms, made by a
process between client and server that holds every piece back for half of that. Both programs start
from nothing each time (a process, its imports, its connections), in turns. ansible-core comes from
PyPI into an environment of its own, with pipelining, as many forks as hosts and no facts; its
second run may use the connections that its first has left open, as it does by default. Needs root,
and openssh-server (`--sshd` names the program where it is not installed).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from installer.cluster import SSH, Host  # noqa: E402
from installer.engine.apply import apply  # noqa: E402
from installer.engine.parallel import over_hosts  # noqa: E402
from installer.engine.plan import Wanted, probe_all  # noqa: E402
from installer.errors import HostError  # noqa: E402
from installer.hosts.connection import connect  # noqa: E402
from installer.resources.file import File  # noqa: E402
from installer.roles.role import Role  # noqa: E402
from romana.lab.namespaces import Lab  # noqa: E402

ROOT = Path("/srv/romana-benchmark")
FILES = 20
FILE_BYTES = 1200
DIRECT, DELAYED = "127.1.0.{}", "127.2.0.{}"
ANSIBLE = "ansible-core"
CONFIG = """\
[defaults]
forks = {forks}
host_key_checking = False
retry_files_enabled = False
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = True
control_path_dir = {control}
"""
SERVER = """\
ListenAddress {address}:22
HostKey {work}/key
AuthorizedKeysFile {work}/key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PrintMotd no
MaxStartups 1000
Subsystem sftp internal-sftp
"""


def files() -> dict[str, str]:
    """What every host is to hold, by path."""
    line = "# a line of a configuration file, as there are many\n"
    body = line * (FILE_BYTES // len(line))
    return {
        str(ROOT / f"file-{number}.conf"): f"number = {number}\n{body}" for number in range(FILES)
    }


@dataclass(frozen=True, slots=True)
class Server:
    """One host: its address, and the process that keeps its mount namespace."""

    number: int
    process: subprocess.Popen[bytes]

    def empty(self) -> None:
        """Take its files away."""
        words = ("nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "--")
        subprocess.run((*words, "find", str(ROOT), "-mindepth", "1", "-delete"), check=True)


def start(lab: Lab, work: Path, sshd: str, number: int) -> Server:
    """Start a host."""
    config = work / f"sshd-{number}.conf"
    config.write_text(SERVER.format(address=DIRECT.format(number), work=work))
    script = (
        f"mkdir -p {ROOT} /run/sshd && mount -t tmpfs tmpfs {ROOT}"
        f" && mount --bind {work}/passwd /etc/passwd && exec {sshd} -D -f {config}"
    )
    words = ("unshare", "--mount", "sh", "-c", script)
    return Server(number, lab.popen(*words))


@contextmanager
def hosts(lab: Lab, work: Path, sshd: str, count: int) -> Iterator[list[Server]]:
    """As many hosts, for as long as the block."""
    user = "sshd:x:65000:65534::/run/sshd:/usr/sbin/nologin\n"
    passwd = Path("/etc/passwd").read_text()
    (work / "passwd").write_text(passwd if "\nsshd:" in passwd else passwd + user)
    servers = [start(lab, work, sshd, number) for number in range(1, count + 1)]
    try:
        for each in servers:
            await_answer(lab, DIRECT.format(each.number))
        yield servers
    finally:
        for each in servers:
            each.process.kill()
            each.process.wait()


def await_answer(lab: Lab, address: str) -> None:
    """Wait until something answers there."""
    limit = time.monotonic() + 30
    while True:
        try:
            return lab.connect(address, 22, timeout_s=1).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.02)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, half_s: float) -> None:
    """Carry one direction of a connection, holding back every piece."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def read() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""  # the other side learns of it by the end of the stream
            pieces.put_nowait((loop.time() + half_s, data))

    reading = asyncio.create_task(read())
    while True:
        due, data = await pieces.get()
        await asyncio.sleep(due - loop.time())
        if not data:
            break
        writer.write(data)
    writer.close()
    await reading


async def delay(count: int, half_s: float) -> None:
    """Stand between client and servers, for ever."""

    async def carry(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        far, back = await asyncio.open_connection(DIRECT.format(number), 22)
        await asyncio.gather(pump(reader, back, half_s), pump(far, writer, half_s))

    for number in range(1, count + 1):
        await asyncio.start_server(partial(carry, number), DELAYED.format(number), 22, backlog=100)
    await asyncio.Event().wait()


def ours(work: Path, addresses: Sequence[str]) -> None:
    """The installer's engine: connect, probe, repair, probe again."""
    wanted = tuple(File(path, text) for path, text in files().items())
    role = Role(name="files", title="Files", on="all", resources=lambda _: iter(wanted))
    key = (work / "key.pub").read_text().strip()
    found = [
        Host(
            name=f"host-{number}",
            address=IPv4Address(address),
            groups=("nodes",),
            ssh=SSH(key=work / "key", host_key=key),
        )
        for number, address in enumerate(addresses)
    ]
    opened = over_hosts(lambda host: connect(host, work / "known_hosts"), found)
    sessions = {}
    for each in opened:
        if isinstance(each, HostError):
            raise each
        sessions[each.host] = each
    everything = [Wanted(host=host.name, roles=((role, wanted),)) for host in found]
    plan = probe_all((role,), everything, sessions)
    assert not plan.unreachable
    assert not plan.errors
    applied = apply(plan, sessions, lambda _: None)
    assert not applied.failures, applied.failures[0]
    for session in sessions.values():
        session.close()


def write_playbook(work: Path, addresses: Sequence[str]) -> None:
    """The same for ansible."""
    content = work / "content"
    content.mkdir(exist_ok=True)
    tasks = []
    for path, text in files().items():
        source = content / Path(path).name
        source.write_text(text)
        copy = {"src": str(source), "dest": path, "owner": "root", "group": "root", "mode": "0644"}
        tasks.append({"name": path, "ansible.builtin.copy": copy})
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (work / "play.yml").write_text(json.dumps(play))
    login = f"ansible_user=root ansible_ssh_private_key_file={work}/key"
    lines = [
        f"host-{number} ansible_host={address} {login}" for number, address in enumerate(addresses)
    ]
    (work / "hosts.ini").write_text("\n".join(lines) + "\n")
    config = CONFIG.format(forks=len(addresses), control=work / "control")
    (work / "ansible.cfg").write_text(config)


class Bench:
    """Both programs, on some hosts at some distance."""

    def __init__(self, lab: Lab, work: Path, ansible: Path, servers: list[Server]) -> None:
        self._lab, self._work, self._ansible, self._servers = lab, work, ansible, servers

    def rounds(self, delay_ms: int, count: int, limit_s: float) -> dict[str, list[float]]:
        """Seconds of each, cold and again, in turns: one round, and further ones up to `count` as
        long as the next is likely to end within the limit."""
        pattern = DELAYED if delay_ms else DIRECT
        addresses = [pattern.format(each.number) for each in self._servers]
        write_playbook(self._work, addresses)
        times: dict[str, list[float]] = {}
        began = time.monotonic()
        for number in range(count):
            if number and (time.monotonic() - began) * (number + 1) / number > limit_s:
                break
            for name, words in (
                ("ours", (sys.executable, __file__, "--ours", str(self._work), *addresses)),
                (ANSIBLE, (str(self._ansible), "-i", "hosts.ini", "play.yml")),
            ):
                for each in self._servers:
                    each.empty()
                shutil.rmtree(self._work / "control", ignore_errors=True)
                times.setdefault(f"{name}, cold", []).append(self._timed(words))
                times.setdefault(f"{name}, again", []).append(self._timed(words))
        return times

    def _timed(self, words: Sequence[str]) -> float:
        began = time.monotonic()
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self._work / "ansible.cfg")}
        done = subprocess.run(
            self._lab.command(*words),
            cwd=self._work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{words[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return time.monotonic() - began


def environment(work: Path) -> Path:
    """ansible-core in an environment of its own; its ansible-playbook."""
    subprocess.run((sys.executable, "-m", "venv", work / "ansible"), check=True)
    pip = work / "ansible/bin/pip"
    subprocess.run((pip, "install", "--quiet", "--disable-pip-version-check", ANSIBLE), check=True)
    return work / "ansible/bin/ansible-playbook"


def show(count: int, delay_ms: int, times: dict[str, list[float]]) -> None:
    """Medians, and how many times as long ansible takes."""
    middle = {name: statistics.median(each) for name, each in times.items()}
    for run in ("cold", "again"):
        own, other = middle[f"ours, {run}"], middle[f"{ANSIBLE}, {run}"]
        print(
            f"{count} hosts, {delay_ms} ms, {run}: ours {own:.2f} s, {ANSIBLE} {other:.2f} s: "
            f"{other / own:.0f} times as long ({len(times[f'ours, {run}'])} rounds, load "
            f"{os.getloadavg()[0]:.0f})",
            flush=True,
        )


def measure(options: argparse.Namespace) -> None:
    """Everything, with hosts made and removed."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="romana-benchmark-")))
        keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / "key"))
        subprocess.run(keygen, check=True)
        ansible = options.ansible or environment(work)
        share_s = options.limit * 60 / len(options.hosts) / len(options.delays)
        lab = stack.enter_context(Lab(f"{options.prefix}-{os.getpid()}"))
        for count in options.hosts:
            with hosts(lab, work, options.sshd, count) as servers:
                bench = Bench(lab, work, ansible, servers)
                for delay_ms in options.delays:
                    half = str(delay_ms / 2000)
                    with lab.running(sys.executable, __file__, "--delay", str(count), half):
                        if delay_ms:
                            await_answer(lab, DELAYED.format(count))
                        show(count, delay_ms, bench.rounds(delay_ms, options.rounds, share_s))


def main() -> None:
    """Parse, run, show."""
    numbers = lambda text: [int(each) for each in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=numbers, default=[5, 50], help="how many; up to 250")
    parser.add_argument("--delays", type=numbers, default=[0, 20], help="round trips, ms")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=10, help="about so many minutes in all")
    parser.add_argument("--sshd", default="/usr/sbin/sshd")
    parser.add_argument("--ansible", type=Path, help="an ansible-playbook, instead of a new one")
    parser.add_argument("--prefix", default="rt-installer")
    parser.add_argument("--ours", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--delay", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(Path(options.ours[0]), options.ours[1:])
    elif options.delay:
        asyncio.run(delay(int(options.delay[0]), float(options.delay[1])))
    elif not Path(options.sshd).exists():
        raise SystemExit(f"{options.sshd} is missing: install openssh-server, or name it: --sshd")
    elif os.geteuid():
        raise SystemExit("only root can make hosts: try sudo")
    else:
        measure(options)


if __name__ == "__main__":
    main()
