"""The Romana network: its objects in the API, the release, the agent and the plugin's
configuration."""

from __future__ import annotations

from collections.abc import Iterator

from installer.hosts.init import of
from installer.resources import (
    Archive,
    Condition,
    Directory,
    File,
    Manifest,
    Resource,
    Service,
    Symlink,
)
from installer.roles import pki
from installer.roles.asking import curl
from installer.roles.brought import python, python_version
from installer.roles.pki import CA
from installer.roles.rendering import TEMPLATES, render
from installer.roles.role import Target
from installer.roles.runtime import CNI_BIN, CNI_CONF

RELEASES = "/opt/romana/releases"
CURRENT = "/opt/romana/current"
CONFLIST = "10-romana.conflist"
KEPT_RELEASES = 2
_ETC = "/etc/romana"
READY = curl("http://127.0.0.1:9607/readyz")


def network_objects(target: Target) -> Iterator[Resource]:
    """The kinds that the network keeps in the API, and what its agents may do there."""
    for path in sorted((TEMPLATES / "network").glob("*.yaml")):
        yield Manifest(f"romana-{path.stem}", render(f"network/{path.name}"))


def network(target: Target) -> Iterator[Resource]:
    """The release, switched by one link; the agent; and last the configuration that makes the
    runtime call the plugin."""
    release = target.artifacts.release(python_version(target.facts))
    archive = Archive(
        f"{RELEASES}/{release.version}",
        source=release.source,
        sha256=release.sha256,
        link=CURRENT,
    )
    config = File(f"{_ETC}/agent.yml", _config(target))
    identity = _identity(target)
    interpreter = tuple(python(target))
    yield from interpreter
    yield archive
    yield Symlink("/usr/local/bin/romana", f"{CURRENT}/bin/romana")
    yield Symlink(f"{CNI_BIN}/romana", f"{CURRENT}/bin/romana-cni")
    yield Directory(_ETC)
    yield from identity
    yield config
    yield Service(
        "romana-agent",
        init=of(target.facts),
        description="Romana agent: routes, addresses and policies of this host",
        command=(f"{CURRENT}/bin/romana-agent",),
        type="notify",
        # The kernel is in order before the kubelet starts a pod.
        before=("kubelet.service",),
        limits=(("NOFILE", "1048576"),),
        directives=(("NoNewPrivileges", "yes"), ("OOMScoreAdjust", "-998")),
        restart_on=(*interpreter, archive, config, pki.authority(target, "kubernetes"), *identity),
        ready=READY,
    )
    yield File(f"{CNI_CONF}/{CONFLIST}", render(f"network/{CONFLIST}"))
    yield _few_releases(release.version)


def _few_releases(wanted: str) -> Condition:
    """Earlier releases are kept for a way back, but not for ever. The wanted one does not count:
    whether it is unpacked already must not change the answer."""
    earlier = f"ls -1td {RELEASES}/*/ 2>/dev/null | grep -vxF {RELEASES}/{wanted}/"
    old = f"{earlier} | sed 1,{KEPT_RELEASES}d"
    return Condition(
        f"no more than {KEPT_RELEASES} earlier releases are kept",
        holds=f'[ -z "$({old})" ]',
        repair=f"{old} | xargs -r rm -rf",
    )


def agent_ready(target: Target) -> Condition:
    """Whether the agent has the whole picture, and the kernel is as it should be."""
    return Condition(
        "the Romana agent is ready",
        holds=READY,
        evidence="curl -sS --noproxy '*' --max-time 3 http://127.0.0.1:9607/readyz || :\n"
        + of(target.facts).log("romana-agent", 10),
    )


def _identity(target: Target) -> tuple[File, File]:
    held = target.credentials.leaf(target.host.name, "agent")
    return (
        pki.certificate(f"{_ETC}/agent.crt", held.certificate),
        File(f"{_ETC}/agent.key", held.key, mode=0o600, secret=True),
    )


def _config(target: Target) -> str:
    cluster, host = target.cluster, target.host
    return render(
        "network/agent.yml",
        name=host.name,
        address=host.address,
        servers=(pki.server(target),),
        authority=CA,
        certificate=f"{_ETC}/agent.crt",
        key=f"{_ETC}/agent.key",
        pods=cluster.network.pods,
        block_size=cluster.network.block_size,
        zone=host.zone,
        zones=cluster.zones,
        near=(host.near,) if host.near else (),
        gateways=(host.gateway,) if host.gateway else (),
        masquerade="true" if cluster.network.masquerade else "false",
        mtu=cluster.network.mtu or "auto",
        backend=cluster.network.backend,
    )
