"""The agent's configuration file, strict: a key that is not known is refused, with the nearest that
is."""

from __future__ import annotations

import difflib
import socket
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from romana.agent.errors import ConfigError
from romana.dataplane.backends import BackendName
from romana.dataplane.denials import GROUP
from romana.dataplane.nflog import LAST_GROUP
from romana.ipam.layout import Layout, LayoutError
from romana.objects import SEGMENT_LABELS, Address, Network
from romana.sources.api import ApiAddress

DEFAULT_PATH = Path("/etc/romana/agent.yml")


class KubernetesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`kubernetes`: where the API is, and the agent's identity there (paths of PEM files)."""

    server: str = ""
    servers: tuple[str, ...] = ()
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def address(self) -> ApiAddress:
        """The servers and the identity.

        Raises:
            ConfigError: no server is named.
        """
        servers = self.servers or ((self.server,) if self.server else ())
        if not servers:
            raise ConfigError("kubernetes.servers: name at least one server, as https://HOST:PORT")
        ca, certificate, key = (
            Path(name) if name else None for name in (self.ca, self.certificate, self.key)
        )
        return ApiAddress(servers=servers, ca=ca, certificate=certificate, key=key)


class PodSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`pods`: the pod network and its layout."""

    cidrs: tuple[str, ...] = ("10.112.0.0/12",)
    block_size: int = 25
    block_size_v6: int = 121
    zone: str = "default"
    zones: tuple[str, ...] = ("default",)
    near: str = ""

    def __post_init__(self) -> None:
        if not self.cidrs:
            raise ValueError("`cidrs` must hold at least one prefix")
        self.layout().shares(self.zone)
        if self.near:
            ip_network(self.near)

    @property
    def preferred(self) -> Network | None:
        """Where this host's claims begin, if it matters."""
        return ip_network(self.near) if self.near else None

    def layout(self) -> Layout:
        """The layout of the pod network."""
        return Layout(
            cidrs=tuple(ip_network(text) for text in self.cidrs),
            zones=self.zones,
            block_size=self.block_size,
            block_size_v6=self.block_size_v6,
        )


class DeniedLogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`log_denied`: whether denied connections are logged, unless `romana log denied` says
    otherwise; of pods of which namespaces (none named: of all); and over which group of netfilter's
    log the kernel tells of them."""

    enabled: bool = False
    namespaces: tuple[str, ...] = ()
    group: int = GROUP

    def __post_init__(self) -> None:
        if not 0 < self.group <= LAST_GROUP:
            raise ValueError(f"`group` must be a number from 1 to {LAST_GROUP}")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    Args:
        node: this host's name in Kubernetes; the host name by default.
        source: `kubernetes`, or `files:DIRECTORY`.
        kubernetes: the API.
        pods: the pod network.
        masquerade: whether pods reach what is outside under the host's address.
        no_masquerade: prefixes that pods reach under their own address, besides pods and nodes.
        mtu: of pods' interfaces; `auto` is the uplink's.
        backend: what enforces policies in the kernel: `nftables`, `iptables` (with ipset; of the
            kind that the host uses, or `iptables-legacy` or `iptables-nft`), or `auto`, which is
            nftables where it works.
        gateways: where to send what is for pods of nodes beyond this host's own segments; without
            one that is left to the routes that the host has anyway.
        node_address: this host's own addresses; by default those of its Node object.
        socket: where the plugin and the `romana` command reach the agent.
        metrics: address and port of metrics and health; `off` for none.
        state: the directory of leases.
        segment_labels: the labels that put a pod into a segment of Romana policies; the first that
            a pod has counts.
        log_denied: whether denied connections are logged.
        verify_every: how often to prove that the kernel enforces the policies, in seconds; 0 for
            only after repairs and when asked.
    """

    node: str = ""
    source: str = "kubernetes"
    kubernetes: KubernetesSettings = KubernetesSettings()
    pods: PodSettings = PodSettings()
    masquerade: bool = True
    no_masquerade: tuple[str, ...] = ()
    mtu: int | Literal["auto"] = "auto"
    backend: BackendName = "auto"
    gateways: tuple[str, ...] = ()
    node_address: str | tuple[str, ...] = ()
    socket: str = "/run/romana/agent.sock"
    metrics: str = "127.0.0.1:9607"
    state: str = "/var/lib/romana"
    segment_labels: tuple[str, ...] = SEGMENT_LABELS
    log_denied: DeniedLogSettings = DeniedLogSettings()
    verify_every: float = 600.0

    def __post_init__(self) -> None:
        for text in self.no_masquerade:
            ip_network(text)
        for address in (*self.node_addresses, *self.next_hops):
            assert address
        if self.verify_every < 0:
            raise ValueError("`verify_every` must not be negative")
        if self.source != "kubernetes" and not self.source.startswith("files:/"):
            raise ValueError("`source` must be `kubernetes` or `files:` and an absolute path")

    @property
    def name(self) -> str:
        """This host's name in Kubernetes."""
        return self.node or socket.gethostname().lower()

    @property
    def directory(self) -> Path | None:
        """The directory of manifests, or None where the source is the API."""
        return Path(self.source.removeprefix("files:")) if self.source != "kubernetes" else None

    @property
    def node_addresses(self) -> tuple[Address, ...]:
        """The configured addresses of this host; none where its Node object says them."""
        given = self.node_address
        return tuple(ip_address(text) for text in ((given,) if isinstance(given, str) else given))

    @property
    def next_hops(self) -> tuple[Address, ...]:
        """The gateways to nodes beyond this host's segments."""
        return tuple(ip_address(text) for text in self.gateways)

    @property
    def unmasqueraded(self) -> tuple[Network, ...]:
        """Prefixes that pods reach under their own address."""
        return tuple(ip_network(text) for text in self.no_masquerade)


FIXED = ("node", "source", "kubernetes", "socket", "metrics", "state")
"""What only a restart can change."""


def load(path: Path, overrides: Mapping[str, object] | None = None) -> Config:
    """Read the configuration.

    Args:
        path: the file. That the default one is not there is no error.
        overrides: values of the command line, by top-level key.

    Raises:
        ConfigError: it cannot be read, or is unsound.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        if path != DEFAULT_PATH:
            raise ConfigError(f"{path}: there is no such file") from None
        text = ""
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return parse({**content, **(overrides or {})}, str(path))


def parse(content: Mapping[str, Any], where: str) -> Config:
    """The configuration of decoded YAML.

    Raises:
        ConfigError: it is unsound; the message begins with `where`.
    """
    try:
        return msgspec.convert(content, Config)
    except (msgspec.ValidationError, LayoutError) as error:
        reason, _, path = str(error).partition(" - at ")
        place = path.strip("`").removeprefix("$").removeprefix(".")
        prefix = f"{where}: {place}: " if place else f"{where}: "
        raise ConfigError(prefix + _nearest(reason)) from error


def _nearest(reason: str) -> str:
    """The reason, with the key that was perhaps meant."""
    if "unknown field" not in reason:
        return reason
    key = reason.split("`")[1]
    known = {
        name
        for struct in (Config, PodSettings, KubernetesSettings, DeniedLogSettings)
        for name in struct.__struct_fields__
    }
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return f"`{key}` is not a known key{hint}"
