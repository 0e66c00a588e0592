"""Programs of other projects, for hosts whose distribution has none that are new enough: had from
where those projects publish them, or from a mirror with the same paths.

    containerd, runc, cni-plugins, etcd    static binaries: any C library will do
    python                                 a relocatable CPython (python-build-standalone)

What a site publishes as SHA-256 beside a file is fetched over TLS the first time and recorded in
the cluster's artifacts.lock; from then on that is what every file must be. None is written down
here: we have not seen these files ourselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from installer.artifacts.catalogue import Resolved
from installer.artifacts.checksums import read_sums, require, write_sums
from installer.artifacts.download import (
    NotThere,
    Unanswered,
    download,
    listed_sha256,
)
from installer.artifacts.fetch import Depot, alone
from installer.errors import ArtifactError

Name = Literal["containerd", "runc", "cni-plugins", "etcd", "python"]
SITE = "https://github.com"
PYTHON = "3.11"
"""What the relocatable CPython is, as the agent's release names it."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One file of a project. `path` and `sums` are below the site; in braces stand `version`,
    `architecture` as Kubernetes spells it, and `machine` as the kernel does."""

    version: str
    path: str
    sums: str
    """Where the site publishes checksums, in lines as sha256sum writes them."""

    def place(self, template: str, architecture: str) -> str:
        """The path of the file, or of its checksums."""
        machine = _MACHINES.get(architecture, architecture)
        return template.format(version=self.version, architecture=architecture, machine=machine)


_CONTAINERD = (
    "containerd/containerd/releases/download/v{version}/"
    "containerd-static-{version}-linux-{architecture}.tar.gz"
)
_CNI = (
    "containernetworking/plugins/releases/download/v{version}/"
    "cni-plugins-linux-{architecture}-v{version}.tgz"
)
_PYTHON = "astral-sh/python-build-standalone/releases/download/20261110"
UPSTREAM: Mapping[Name, Upstream] = {
    # The last that speaks CRI v1alpha2, which kubelets before 1.23 ask for.
    "containerd": Upstream(version="1.7.27", path=_CONTAINERD, sums=_CONTAINERD + ".sha256sum"),
    "runc": Upstream(
        version="1.1.15",
        path="opencontainers/runc/releases/download/v{version}/runc.{architecture}",
        sums="opencontainers/runc/releases/download/v{version}/runc.sha256sum",
    ),
    "cni-plugins": Upstream(version="1.4.1", path=_CNI, sums=_CNI + ".sha256"),
    "etcd": Upstream(
        version="3.5.21",
        path="etcd-io/etcd/releases/download/v{version}/"
        "etcd-v{version}-linux-{architecture}.tar.gz",
        sums="etcd-io/etcd/releases/download/v{version}/SHA256SUMS",
    ),
    # Built against glibc 2.17, so that it starts wherever manylinux2014 wheels do.
    "python": Upstream(
        version="3.11.18",
        path=_PYTHON + "/cpython-{version}%2B20261110-{machine}-unknown-linux-gnu-"
        "install_only_stripped.tar.gz",
        sums=_PYTHON + "/SHA256SUMS",
    ),
}


def bring(
    names: Iterable[Name],
    site: str,
    architecture: str,
    depot: Depot,
    catalogue: Mapping[Name, Upstream] = UPSTREAM,
    versions: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Resolved]:
    """Files of other projects, by name: from the cache, else downloaded.

    Args:
        names: what is needed.
        site: where they are published, or a mirror with the same paths.
        architecture: the hosts', as Kubernetes spells it.
        depot: whose cache, lock and events are used.
        catalogue: what there is.
        versions: those that the inventory names, by name; the catalogue's elsewhere.

    Raises:
        ArtifactError: one cannot be had, or is not what its checksum says.
    """
    return {
        name: _bring(
            name, _at(catalogue[name], versions.get(name)), site.rstrip("/"), architecture, depot
        )
        for name in sorted(set(names))
    }


def _at(item: Upstream, version: str | None) -> Upstream:
    return replace(item, version=version) if version else item


def _bring(name: Name, item: Upstream, site: str, architecture: str, depot: Depot) -> Resolved:
    url = f"{site}/{item.place(item.path, architecture)}"
    folder = depot.cache / "upstream" / name / item.version
    file = f"{architecture}-{url.rpartition('/')[2].replace('%2B', '+')}"
    id_, sums = f"upstream/{name}/{item.version}/{architecture}", folder / "SHA256SUMS"
    with alone(folder):
        digest = depot.lock.get(id_) or read_sums(sums).get(file, "")
        if not digest or not (folder / file).exists():
            try:
                digest = digest or listed_sha256(
                    f"{site}/{item.place(item.sums, architecture)}", url
                )
                download(
                    url, folder / file, digest, depot.advance(f"download {name} {item.version}")
                )
            except (Unanswered, NotThere) as error:
                raise ArtifactError(
                    f"{name} {item.version} cannot be had: {error}",
                    "make upstream_url reachable, or have it name a mirror with the same paths",
                ) from None
            write_sums(sums, {**read_sums(sums), file: digest})
        require(folder / file, digest, "the lock file")
        depot.lock.record(id_, digest)
    return Resolved(name=name, version=item.version, path=folder / file, sha256=digest)
