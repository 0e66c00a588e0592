"""Many servers on one machine for measuring the installer: a real OpenSSH, file system, shell,
package database and network each; systemd, containerd and Kubernetes' programs are stand-ins
(`servers/`), so that a server takes a few MiB and fifty fit.

A server is a network, mount, host name and process namespace over an overlay of the sandbox's base
root file system, with the packages of both roles installed once below all of them. Everything has
the lab's name; nothing is made in the root network namespace.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from installer import distributions
from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import preconditions
from installer.platforms.sandbox.content import APT_SOURCE
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import ensure_image
from installer.platforms.sandbox.packages import MOUNT, ensure_packages
from romana.lab.namespaces import Lab, Namespace

NETWORK = IPv4Network("198.18.64.0/22")
STANDINS = Path(__file__).parent / "servers"
ONLY_ON_SERVERS = ("curl", "ctr", "journalctl", "systemctl")
_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UseDNS no
UsePAM no
PrintMotd no
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One of them."""

    name: str
    address: IPv4Address
    host_key: str
    place: Namespace
    process: subprocess.Popen[bytes]

    def dial(self) -> socket.socket:
        """A connection to its sshd."""
        return self.place.connect("127.0.0.1", 22)


@contextlib.contextmanager
def servers(prefix: str, count: int, directory: Path, key: Path) -> Iterator[tuple[Server, ...]]:
    """Servers for the time of a block.

    Args:
        prefix: the lab's name.
        count: how many.
        directory: for their files; removed afterwards.
        key: the operator's private key, made where it is not there.
    """
    preconditions.require(lambda event: None)
    public = ensure_key(key)
    processes: list[subprocess.Popen[bytes]] = []
    with Lab(prefix, NETWORK) as lab:
        try:
            lower = _base(directory)
            made = [
                _make(lab, number, directory, lower, public, processes) for number in range(count)
            ]
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(_await, made))
            yield tuple(made)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            lab.remove()
            shutil.rmtree(directory, ignore_errors=True)


def _base(directory: Path) -> str:
    """Lower layers of all servers: the sandbox's root, and over it what is installed once."""
    distribution = read_distribution()
    image = ensure_image(distribution, lambda event: None)
    names = distributions.names(distribution.id, distribution.version)
    assert names is not None
    wanted = (*names.base, *names.runtime, *names.etcd)
    packages = ensure_packages(image, wanted, lambda event: None)
    layer = directory / "base"
    for part in ("upper", "work", "root"):
        (layer / part).mkdir(parents=True)
    _place(layer / "upper/etc/apt/sources.list", "")
    _place(layer / "upper/etc/apt/sources.list.d/romana.list", f"{APT_SOURCE}\n")
    _place(layer / "upper/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    root, mount = layer / "root", layer / f"root{MOUNT}"
    script = f"""
mount -t overlay overlay -o lowerdir={image},upperdir={layer}/upper,workdir={layer}/work {root}
mkdir -p {mount} && mount --bind {packages} {mount}
mount -t proc proc {root}/proc
mount --bind /dev {root}/dev
export DEBIAN_FRONTEND=noninteractive
chroot {root} apt-get -q update
chroot {root} apt-get -q -y --no-install-recommends install {" ".join(wanted)}
"""
    words = ("unshare", "--mount", "--propagation", "private", "sh", "-euc", script)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name in ONLY_ON_SERVERS:
        place = layer / "upper/usr/local/sbin" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(STANDINS / name, place)
    (layer / "upper/usr/sbin/policy-rc.d").unlink()
    return f"{layer}/upper:{image}"


def _make(
    lab: Lab,
    number: int,
    directory: Path,
    lower: str,
    public: str,
    processes: list[subprocess.Popen[bytes]],
) -> Server:
    name = f"server{number + 1}"
    address = NETWORK[10 + number]
    place = lab.host(name, address)
    own = directory / name
    upper = own / "upper"
    for part in ("upper", "work", "root"):
        (own / part).mkdir(parents=True)
    host_public = ensure_key(own / "host_key")
    _place(upper / "etc/ssh/ssh_host_ed25519_key", (own / "host_key").read_text(), 0o600)
    _place(upper / "etc/ssh/sshd_config.d/bench.conf", _SSHD)
    _place(upper / "root/.ssh/authorized_keys", f"{public}\n", 0o600)
    (upper / "root").chmod(0o700)
    _place(upper / "etc/hostname", f"{name}\n")
    machine_id = hashlib.blake2s(name.encode(), digest_size=16).hexdigest()
    _place(upper / "etc/machine-id", f"{machine_id}\n")
    root = own / "root"
    script = f"""
mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={own}/work,volatile {root}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount -t tmpfs tmpfs {root}/run
mkdir -p {root}/run/systemd/system {root}/run/sshd
echo lxc >{root}/run/systemd/container
hostname {name}
exec chroot {root} /usr/sbin/sshd -D -e
"""
    words = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-euc", script)
    log = (own / "console.log").open("wb")
    with log:
        process = place.popen(*words, stdout=log, stderr=log)
    processes.append(process)
    return Server(name=name, address=address, host_key=host_public, place=place, process=process)


def _await(server: Server) -> None:
    limit = time.monotonic() + 60
    while True:
        try:
            with server.dial() as link:
                link.settimeout(5)
                if link.recv(4) == b"SSH-":
                    return
        except OSError:
            if time.monotonic() > limit:
                raise
        time.sleep(0.05)


def _place(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
