"""A repository of a release's packages in one tar: what roles install, with everything that needs
beyond the smallest system of that release.

apt does the work, on lists of its own: it fetches the release's signed indices and checks what it
downloads against them, and its own resolver says what is in the smallest system (all packages of
priority `required`, and what these need) and what has to be added. This machine's own lists and
packages are neither used nor changed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from installer.artifacts.checksums import sha256_of
from installer.artifacts.fetch import alone
from installer.bundling.systems import is_own, name_of, sources
from installer.cluster import Cluster
from installer.distributions import Distribution
from installer.errors import ArtifactError
from installer.events import Emit, Notice, Progress
from installer.roles.base import pin
from installer.roles.data_plane import every_package

_INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
_URI = re.compile(r"^'[^']+' (\S+\.deb) \d+", re.MULTILINE)
_REQUIRED = re.compile(r"^(Priority: required|Essential: yes)$", re.MULTILINE)
_DATE = re.compile(rb"^Date: .*$", re.MULTILINE)
_SAME_DATE = b"Date: Sat, 01 Jan 2000 00:00:00 UTC"
"""apt wants one, and the same packages are to make the same file."""
_RECORDED = ("Filename:", "Size:", "MD5sum:", "SHA1:", "SHA256:", "SHA512:", "Description-md5:")
"""Of a package in an index, and not of one that is installed."""


def repository(
    row: Distribution, architecture: str, cluster: Cluster, cache: Path, emit: Emit
) -> tuple[Path, str]:
    """The tar of a repository, and how many packages it has: "64 packages".

    Args:
        row: the release.
        architecture: of the hosts, as Debian spells it.
        cluster: whose mirror and versions count.
        cache: where lists and packages are kept, so that only what is new is fetched the next time.
        emit: is told progress.

    Raises:
        ArtifactError: packages cannot be had, or are not what the signed indices say.
    """
    place = cache / "packages" / f"{name_of(row)}-{architecture}"
    with alone(place):
        apt = _Apt(place=place, architecture=architecture, what=f"packages of {row.name}")
        apt.prepare("" if is_own(row) else sources(row, cluster.package_mirror))
        apt.update(emit)
        index = apt.index()
        apt.pretend(index)
        files = apt.fetch(_wanted(row, cluster, index), emit)
        _verify(files, index)
        target = place / "repository.tar"
        _pack(files, target)
    return target, f"{len(files)} packages"


def _wanted(
    row: Distribution, cluster: Cluster, index: Mapping[tuple[str, str], str]
) -> tuple[str, ...]:
    """All that roles install on hosts of that release, whatever a host is for; what the inventory
    names a version of, at that version."""
    names = row.packages
    assert names is not None  # systems offers no others
    known = {name for name, _ in index}
    more = tuple(each for each in every_package() if each in known)
    pins = {name: pin(cluster.etcd) for name in names.etcd if cluster.etcd != "auto"}
    if cluster.containerd != "auto" and "containerd" in names.runtime:
        pins["containerd"] = pin(cluster.containerd)
    found = dict.fromkeys((*names.all, *more))
    return tuple(f"{name}={pins[name]}" if name in pins else name for name in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Apt:
    """apt on a directory of its own."""

    place: Path
    architecture: str
    what: str

    def prepare(self, text: str) -> None:
        """Its directories, and its sources where this machine's are not to be used."""
        for name in ("lists/partial", "archives/partial"):
            (self.place / name).mkdir(parents=True, exist_ok=True)
        (self.place / "status").write_text("")
        if text:
            (self.place / "sources.list").write_text(text)

    def update(self, emit: Emit) -> None:
        """The newest indices; those of the last time where they cannot be had."""
        emit(Progress(what=f"fetch {self.what}", done=0, unit="packages"))
        # Without Error-Mode it is content with what is left when an archive does not answer.
        done = self._run("apt-get", "-o", "APT::Update::Error-Mode=any", "update")
        if done.returncode == 0:
            return
        if not any((self.place / "lists").glob("*_Packages*")):
            raise self._failed(done)
        text = (
            f"{self.what}: the archive cannot be reached ({_last(done)}); as it was the last time"
        )
        emit(Notice(text=text, level="warning"))

    def index(self) -> dict[tuple[str, str], str]:
        """Every package that there is, by name and version, as its archive describes it."""
        done = self._run("apt-cache", "dumpavail")
        if done.returncode or not done.stdout.strip():
            raise self._failed(done)
        found = {}
        for stanza in done.stdout.split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version): (.*)$", stanza, re.MULTILINE))
            if len(fields) == 2:
                found[fields["Package"], fields["Version"]] = stanza.strip()
        return found

    def pretend(self, index: Mapping[tuple[str, str], str]) -> None:
        """Has apt believe that the smallest system is installed."""
        required = {name for (name, _), text in index.items() if _REQUIRED.search(text)}
        done = self._run(*self._install(*sorted(required), "apt"), "--simulate")
        if done.returncode:
            raise self._failed(done)
        there = [
            _as_installed(index[name.partition(":")[0], version])
            for name, version in _INSTALLED.findall(done.stdout)
        ]
        (self.place / "status").write_text("\n\n".join(there) + "\n")

    def fetch(self, names: Sequence[str], emit: Emit) -> tuple[Path, ...]:
        """The files of packages and of all that they need, in order of their names."""
        empty = self.place / "none"
        (empty / "partial").mkdir(parents=True, exist_ok=True)
        done = self._run(*self._install(*names), "--print-uris", archives=empty)
        if done.returncode:
            raise self._failed(done)
        wanted = sorted(_URI.findall(done.stdout))
        command = self._words(*self._install(*names), "--download-only")
        count = 0
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                count += line.startswith("Get:")
                emit(Progress(what=f"fetch {self.what}", done=count, unit="packages"))
        if process.returncode:
            raise self._failed(
                subprocess.CompletedProcess(command, process.returncode, "".join(lines), "")
            )
        emit(
            Progress(
                what=f"fetch {self.what}", done=len(wanted), total=len(wanted), unit="packages"
            )
        )
        return tuple(self.place / "archives" / name for name in wanted)

    def _install(self, *names: str) -> tuple[str, ...]:
        return ("apt-get", "-y", "--no-install-recommends", "install", *names)

    def _words(self, program: str, *words: str, archives: Path | None = None) -> tuple[str, ...]:
        options = {
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "Dir::State::lists": str(self.place / "lists"),
            "Dir::State::status": str(self.place / "status"),
            "Dir::State::extended_states": str(self.place / "extended_states"),
            "Dir::Cache::archives": str(archives or self.place / "archives"),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Debug::NoLocking": "true",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        own = self.place / "sources.list"
        if own.exists():
            options |= {"Dir::Etc::sourcelist": str(own), "Dir::Etc::sourceparts": "-"}
        flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return (program, "-q", *flags, *words)

    def _run(
        self, program: str, *words: str, archives: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                self._words(program, *words, archives=archives),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            raise ArtifactError(
                f"{self.what} cannot be had: {program} is not on this machine",
                "make the bundle on Debian or Ubuntu, or without packages: --no-packages",
            ) from None

    def _failed(self, done: subprocess.CompletedProcess[str]) -> ArtifactError:
        return ArtifactError(
            f"{self.what} cannot be had: {_last(done)}",
            "make the archive reachable (package_mirror in the inventory names another), or make "
            "the bundle without packages: --no-packages",
        )


def _as_installed(stanza: str) -> str:
    lines = [line for line in stanza.splitlines() if not line.startswith(_RECORDED)]
    return "\n".join((lines[0], "Status: install ok installed", *lines[1:]))


def _verify(files: Sequence[Path], index: Mapping[tuple[str, str], str]) -> None:
    """Against the SHA-256 in the signed indices, also what was downloaded the last time: apt looks
    at the size of that alone."""
    sums = {}
    for stanza in index.values():
        fields = dict(re.findall(r"^(Filename|SHA256): (.*)$", stanza, re.MULTILINE))
        sums[fields.get("SHA256", "")] = fields.get("Filename", "")
    for file in files:
        if sha256_of(file) not in sums:
            file.unlink()
            raise ArtifactError(
                f"{file.name}: is not what the archive's signed index says; it was removed",
                "run again",
            )


def _pack(files: Sequence[Path], target: Path) -> None:
    """The files and their index as a tar of which every byte depends on the files alone."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="repository-") as directory:
        work = Path(directory)
        for file in files:
            shutil.copyfile(file, work / file.name)
        stanzas = _ftparchive(work, "packages").decode().strip().split("\n\n")
        (work / "Packages").write_text("\n\n".join(sorted(stanzas)) + "\n")
        release = _ftparchive(work, "release")
        (work / "Release").write_bytes(_DATE.sub(_SAME_DATE, release))
        part = target.with_name(f"{target.name}.part")
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
            for file in sorted(work.iterdir()):
                member = tarfile.TarInfo(file.name)
                member.size, member.mode = file.stat().st_size, 0o644
                with file.open("rb") as stream:
                    tar.addfile(member, stream)
        part.replace(target)


def _ftparchive(work: Path, kind: str) -> bytes:
    try:
        done = subprocess.run(
            ("apt-ftparchive", kind, "."), cwd=work, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise ArtifactError(
            "apt-ftparchive is not on this machine", "apt-get install apt-utils, and run again"
        ) from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip()
        raise ArtifactError(f"packages cannot be indexed: apt-ftparchive {kind}: {last}")
    return done.stdout


def _last(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
    errors = [line for line in said if line.startswith("E: ")]
    return (errors or said)[-1].removeprefix("E: ")
