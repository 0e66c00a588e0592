"""The roles, in their order: the installer's table of contents.

Nothing waits on something later. The network's files are in place before the kubelet first asks for
them, so that a node is Ready with its first report; the agent itself needs only the API and its own
kinds there.
"""

from __future__ import annotations

from installer.roles import traces
from installer.roles.balancer import balancer
from installer.roles.base import base
from installer.roles.control_plane import control_plane
from installer.roles.etcd import etcd
from installer.roles.etcd_members import leaving_members, lost_members
from installer.roles.former import former
from installer.roles.images import images
from installer.roles.kube_proxy import kube_proxy
from installer.roles.kubelet import kubelet
from installer.roles.network import network, network_objects
from installer.roles.pki import pki
from installer.roles.role import Role
from installer.roles.runtime import runtime
from installer.roles.snapshots import snapshots
from installer.roles.verify import verify

ROLES = (
    Role(name="base", title="Prepare the system", on="all", resources=base),
    Role(name="pki", title="Lay down certificates and keys", on="all", resources=pki),
    Role(
        name="runtime",
        title="Run the container runtime",
        on="all",
        resources=runtime,
        traces=traces.runtime,
    ),
    Role(name="images", title="Import images", on="all", resources=images),
    Role(name="balancer", title="Balance the API servers", on="balanced", resources=balancer),
    Role(
        name="etcd-lost",
        title="Let lost etcd members go",
        on="controller",
        resources=lost_members,
        undoes=True,
    ),
    Role(name="etcd", title="Run etcd", on="controller", resources=etcd),
    Role(
        name="control-plane",
        title="Run the control plane",
        on="controller",
        resources=control_plane,
    ),
    Role(
        name="network-objects",
        title="Make the network's kinds known",
        on="first-controller",
        resources=network_objects,
    ),
    Role(
        name="network",
        title="Run the network",
        on="all",
        resources=network,
        traces=traces.network,
    ),
    Role(
        name="kubelet",
        title="Run the kubelet",
        on="all",
        resources=kubelet,
        traces=traces.pods,
    ),
    Role(name="kube-proxy", title="Run the service proxy", on="all", resources=kube_proxy),
    Role(name="verify", title="See that nodes are ready", on="all", resources=verify),
    Role(
        name="snapshots",
        title="Keep snapshots of etcd",
        on="controller",
        resources=snapshots,
        traces=traces.schedule,
    ),
    Role(
        name="etcd-leaving",
        title="Let etcd members go that leave",
        on="controller",
        resources=leaving_members,
        undoes=True,
    ),
    Role(
        name="former",
        title="Take away what is not needed any more",
        on="all",
        resources=former,
        undoes=True,
    ),
)

__all__ = ["ROLES", "Role"]
