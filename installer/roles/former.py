"""What a host does not hold any more, since it is no controller any more, or needs no balancer."""

from __future__ import annotations

from collections.abc import Iterator

from installer.hosts.init import of
from installer.pki import AUTHORITIES
from installer.resources import Condition, Resource
from installer.resources.shell import quote
from installer.roles import snapshots
from installer.roles.balancer import no_balancer
from installer.roles.pki import ADMIN_KUBECONFIG, KUBERNETES, PKI
from installer.roles.role import Target

_SERVICES = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")


def former(target: Target) -> Iterator[Resource]:
    """The control plane's services and secrets, where the host runs pods only; etcd's data are set
    aside with them."""
    yield from no_balancer(target)
    if target.host.is_controller:
        return
    init = of(target.facts)
    units = tuple(init.path(name) for name in _SERVICES)
    stop = "".join(
        f"if [ -e {unit} ]; then\n{init.stop(name).strip()}\n{init.disable(name).strip()}\n"
        f"rm -f {unit}\nfi\n"
        for name, unit in zip(_SERVICES, units, strict=True)
    )
    secrets = " ".join(_secrets())
    yield Condition(
        "no control plane runs here",
        holds=f"for unit in {' '.join(units)} {PKI}/ca.key; do [ ! -e $unit ] || exit 1; done",
        repair=f"{stop}{snapshots.unscheduled(target)}rm -rf {secrets}\n"
        "[ ! -d /var/lib/etcd/member ] || "
        'mv /var/lib/etcd/member "/var/lib/etcd/member.$(date +%Y%m%d-%H%M%S)"\n'
        "rm -f /var/lib/etcd/romana-begin\n",
    )


def _secrets() -> Iterator[str]:
    for each in AUTHORITIES:
        if each.name != "kubernetes":
            yield f"{PKI}/{each.path}.crt"
        yield f"{PKI}/{each.path}.key"
    yield from (
        f"{PKI}/ca-signing.crt",
        f"{PKI}/sa.pub",
        f"{PKI}/sa.key",
        f"{PKI}/etcd",
        f"{KUBERNETES}/encryption.yaml",
    )
    yield from (f"{PKI}/apiserver*", f"{PKI}/front-proxy-client.*")
    for name in ("controller-manager", "scheduler"):
        yield f"{PKI}/{name}-server.*"
        yield f"{KUBERNETES}/{name}.conf"
    yield quote(ADMIN_KUBECONFIG)
    yield from snapshots.PARTS
