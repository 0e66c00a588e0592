"""The sandbox as the engine sees it.

    platform = Sandbox()
    cluster = platform.provision(cluster, emit)     # hosts that answer SSH; again: repairs, grows
    cluster = platform.attach(cluster)              # only how to reach what exists
    platform.machine(cluster, "node1").reboot(...)  # for tests; `reboot` below is shorter
    platform.destroy(cluster, emit)                 # says what was there before and after

Hosts are reached by `Host.ssh.dial`, which opens the socket inside the lab; paramiko takes it as
its `sock`. The host key is pinned, the user's key is `STATE/sandbox/id_ed25519`. A command that
needs the lab's network is started by `Sandbox.inside(cluster)`, for instance OpenSSH itself.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from installer import distributions
from installer.bundle.supply import sandbox_image
from installer.cluster import Cluster, Host
from installer.errors import PlatformError
from installer.events import Emit, Notice, Progress
from installer.platforms.answering import answering
from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import leftovers, preconditions, publish
from installer.platforms.sandbox.content import APT_SOURCE
from installer.platforms.sandbox.distribution import Distribution, read_distribution
from installer.platforms.sandbox.image import ensure_image, image_path, unpack_image
from installer.platforms.sandbox.leftovers import HOSTS, prefix_of
from installer.platforms.sandbox.machine import Machine
from installer.platforms.sandbox.packages import ensure_packages, no_packages, packages_path
from installer.platforms.sandbox.storage import ensure_storage
from installer.roles.data_plane import every_package
from romana.lab.command import LabError
from romana.lab.namespaces import Lab

T = TypeVar("T")


class Sandbox:
    """Hosts on this machine.

    Args:
        extra_packages: available to hosts beside what roles install there.
    """

    def __init__(self, extra_packages: tuple[str, ...] = ()) -> None:
        self._extra = extra_packages

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """What `provision` would do."""
        lack = preconditions.require_able().packages
        distribution = read_distribution()
        image = image_path(distribution)
        lines = []
        if lack:
            lines.append(f"install on this machine: {' '.join(lack)}")
        if not image.exists():
            lines.append(f"make the base root file system {distribution.label}")
        packages = packages_path(image, self._packages(distribution))
        if cluster.bundle is None and not packages.exists():
            lines.append("fetch the packages that hosts will install")
        for host in cluster.hosts:
            machine = self._machine(cluster, host)
            if not machine.exists:
                lines.append(f"make host {host.name} ({host.address})")
            elif not machine.running:
                lines.append(f"start host {host.name}, which is down")
        return tuple(lines)

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster with key, host keys and a way in for each host that exists."""
        preconditions.require_able()
        hosts = tuple(self._attached(cluster, host) for host in cluster.hosts)
        own = (APT_SOURCE,) if cluster.bundle is None else ()
        sources = dict.fromkeys((*own, *cluster.package_repository.splitlines()))
        return replace(cluster, hosts=hosts, package_repository="\n".join(sources))

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Make, start and repair hosts, all at once; SSH answers when it returns."""
        preconditions.require(emit)
        distribution = read_distribution()
        names = self._packages(distribution)
        if cluster.bundle is None:
            image = ensure_image(distribution, emit)
            packages = ensure_packages(image, names, emit)
        else:
            image, packages = _bundled(cluster.bundle, distribution, emit), no_packages()
        user = ensure_key(self._key(cluster))
        ensure_storage(HOSTS / cluster.name)
        _translated(self._lab(cluster).ensure)
        self._note_strangers(cluster, emit)
        machines = [self._machine(cluster, host) for host in cluster.hosts]
        _start(machines, lambda machine: machine.ensure(image, packages, user), emit)
        return self.attach(cluster)

    def publish(self, cluster: Cluster) -> str:
        """The API server's URL on this machine."""
        record = self._state(cluster) / "published"
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lab = self._lab(cluster)
        address = _translated(lambda: answering(cluster, partial(lab.connect, timeout_s=2))).address
        port = _translated(
            lambda: publish.publish(prefix_of(cluster.name), address, cluster.api_port, record)
        )
        return f"https://127.0.0.1:{port}"

    def destroy(self, cluster: Cluster, emit: Emit) -> None:
        """Remove everything that bears the cluster's name, and say what a comparison shows."""
        preconditions.require_able()
        what = "end the hosts and remove their files"
        emit(Progress(what=what, done=0))
        before, after = _translated(lambda: leftovers.remove(cluster.name))
        emit(Progress(what=what, done=1, total=1))
        for path in (self._key(cluster), self._key(cluster).with_suffix(".pub")):
            path.unlink(missing_ok=True)
        for path in self._state(cluster).glob("published*"):
            path.unlink()
        if self._state(cluster).exists():
            self._state(cluster).rmdir()
        emit(Notice(text=f"sandbox {cluster.name} before: {before}"))
        emit(Notice(text=f"sandbox {cluster.name} after:  {after}"))

    def reboot(self, cluster: Cluster, name: str, *, orderly: bool = True) -> None:
        """Switch a host off and on, and wait until SSH answers.

        Args:
            cluster: the cluster.
            name: the host's name.
            orderly: let its init stop everything; otherwise the plug is pulled.
        """
        machine = self.machine(cluster, name)
        distribution = read_distribution()
        packages = packages_path(image_path(distribution), self._packages(distribution))
        # Hosts that were made from a bundle never had that directory.
        packages = packages if packages.exists() else no_packages()
        _translated(lambda: machine.reboot(packages, orderly=orderly))

    def machine(self, cluster: Cluster, name: str) -> Machine:
        """One host of the cluster.

        Raises:
            PlatformError: the cluster has no host of that name.
        """
        for host in cluster.hosts:
            if host.name == name:
                return self._machine(cluster, host)
        known = ", ".join(host.name for host in cluster.hosts)
        raise PlatformError(f"cluster {cluster.name} has no host {name}", f"its hosts are {known}")

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """The words before a command that is to run with the lab's network."""
        return self._lab(cluster).command()

    def _packages(self, distribution: Distribution) -> tuple[str, ...]:
        """All that roles install on hosts like this machine, whatever a host is for."""
        names = distributions.names(distribution.id, distribution.version)
        if names is None:
            raise PlatformError(
                f"hosts cannot be {distribution.id} {distribution.version} like this machine",
                f"the installer knows {', '.join(distributions.supported())}",
            )
        data_plane = tuple(each for each in every_package() if each not in names.base)
        return (*names.all, *data_plane, *self._extra)

    def _attached(self, cluster: Cluster, host: Host) -> Host:
        machine = self._machine(cluster, host)
        if not machine.exists:
            return host
        ssh = replace(
            host.ssh,
            user="root",
            port=22,
            key=self._key(cluster),
            host_key=machine.host_key,
            dial=lambda: machine.lab.connect(host.address, 22),
        )
        return replace(host, ssh=ssh)

    def _note_strangers(self, cluster: Cluster, emit: Emit) -> None:
        known = {host.name for host in cluster.hosts}
        for directory in sorted((HOSTS / cluster.name).iterdir()):
            if directory.name not in known:
                text = f"host {directory.name} is not in the inventory any more; left as it is"
                emit(Notice(text=text, level="warning"))

    def _machine(self, cluster: Cluster, host: Host) -> Machine:
        return Machine(
            lab=self._lab(cluster),
            hostname=host.name,
            address=host.address,
            directory=HOSTS / cluster.name / host.name,
        )

    def _lab(self, cluster: Cluster) -> Lab:
        return Lab(prefix_of(cluster.name), cluster.network.hosts)

    def _state(self, cluster: Cluster) -> Path:
        return cluster.state / "sandbox"

    def _key(self, cluster: Cluster) -> Path:
        return self._state(cluster) / "id_ed25519"


def _bundled(bundle: Path, distribution: Distribution, emit: Emit) -> Path:
    """The base root file system as a bundle has it.

    Raises:
        PlatformError: the bundle has none for this machine.
    """
    name = image_path(distribution).name
    packed = sandbox_image(bundle, name)
    if packed is None:
        raise PlatformError(
            f"the bundle has no root file system {name} for the sandbox's hosts",
            "have it made on a machine like this one: romana-install bundle sandbox",
        )
    return unpack_image(packed.path, distribution, emit)


def _start(machines: list[Machine], ensure: Callable[[Machine], None], emit: Emit) -> None:
    """Bring all hosts up at once. One that does not come is a warning: the engine will report it
    unreachable, and the others go on.

    Raises:
        PlatformError: no host came up.
    """
    what, total = f"start {len(machines)} hosts", len(machines)
    emit(Progress(what=what, done=0, total=total, unit="hosts"))
    errors = []
    with ThreadPoolExecutor(max_workers=16) as pool:
        tasks = [pool.submit(_translated, partial(ensure, machine)) for machine in machines]
        for done, task in enumerate(as_completed(tasks), start=1):
            error = task.exception()
            if isinstance(error, PlatformError):
                errors.append(error)
                emit(Notice(text=error.message, level="warning"))
            elif error is not None:
                raise error
            emit(Progress(what=what, done=done, total=total, unit="hosts"))
    if len(errors) == total:
        raise errors[0]


def _translated(work: Callable[[], T]) -> T:
    """Call it; an error of the lab becomes the platform's."""
    try:
        return work()
    except (LabError, ValueError, OSError) as error:
        raise PlatformError(
            f"sandbox: {error}", "run it again; destroy removes what is left"
        ) from None
