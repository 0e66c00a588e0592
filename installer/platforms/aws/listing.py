"""The plan in words: objects, hosts, and what they cost. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from installer.cluster import Cluster, Host
from installer.events import ResourceResult
from installer.inventory.aws import Aws
from installer.platforms.aws import prices, routes
from installer.platforms.aws.difference import Change, Field
from installer.platforms.aws.records import Seen
from installer.platforms.aws.wanted import instance_type

_SAID = {
    "vpc": ("cidr",),
    "subnet": ("cidr",),
    "gateway": (),
    "table": (),
    "group": ("rules",),
    "key": (),
    "role": ("policies",),
    "profile": (),
    "route": ("target",),
}
"""What is worth saying of a new object."""


def lines(
    cluster: Cluster, settings: Aws, changes: Sequence[Change], seen: Seen, image: str
) -> tuple[str, ...]:
    """A line for each change, each perhaps followed by the lines of a diff; then the hosts, and the
    cost. Empty where there is nothing to do.

    Args:
        cluster: the hosts.
        settings: where.
        changes: what `render` will do.
        seen: what is there.
        image: of new instances.
    """
    if not changes:
        return ()
    hosts = {host.name: host for host in cluster.hosts}
    return (
        *(_line(change, hosts, image) for change in changes),
        *_cost(cluster, settings, changes, seen),
    )


def _line(change: Change, hosts: Mapping[str, Host], image: str) -> str:
    if change.verb == "create" and change.ref.kind == "instance":
        head = f"create {change.ref}: {_host(hosts[change.ref.name], image)}"
    elif change.verb == "create":
        said = [field.after for field in change.fields if field.name in _SAID[change.ref.kind]]
        head = f"create {change.ref}" + (f": {', '.join(said)}" if said else "")
    elif change.verb == "change":
        head = f"change {change.ref}: " + "; ".join(_changed(field) for field in change.fields)
    else:
        head = f"delete {change.ref}"
    return "\n".join((head, *diff(change)))


def diff(change: Change) -> Iterator[str]:
    """The fields of a change as lines of a unified diff."""
    yield f"--- {change.ref}" if change.verb != "create" else "--- (absent)"
    yield f"+++ {change.ref}" if change.verb != "delete" else "+++ (absent)"
    for field in change.fields:
        if field.before:
            yield f"-{field.name}: {field.before}"
        if field.after:
            yield f"+{field.name}: {field.after}"


def _changed(field: Field) -> str:
    return f"{field.name} {field.before} -> {field.after}"


def _host(host: Host, image: str) -> str:
    groups = " and ".join("node" if each == "nodes" else each for each in host.groups)
    return (
        f"{groups}, {instance_type(host)}, {image}, {host.address} in {host.zone}, "
        f"{host.disk_gb} GiB encrypted"
    )


def _cost(cluster: Cluster, settings: Aws, changes: Sequence[Change], seen: Seen) -> Iterator[str]:
    new = {
        each.ref.name for each in changes if (each.ref.kind, each.verb) == ("instance", "create")
    }
    if not new:
        return
    public = settings.access == "public"

    def machines(hosts: Sequence[Host]) -> list[prices.Machine]:
        return [
            prices.Machine(type=instance_type(host), disk_gb=host.disk_gb, public=public)
            for host in hosts
        ]

    added = [host for host in cluster.hosts if host.name in new]
    yield f"pay {prices.told(machines(added), settings.region)}"
    if len(added) < len(cluster.hosts):
        yield f"pay for the whole cluster {prices.told(machines(cluster.hosts), settings.region)}"


def notes(cluster: Cluster, changes: Sequence[Change], seen: Seen) -> tuple[str, ...]:
    """What the operator should know: instances of nobody, and others' routes into the pods."""
    known = {host.name for host in cluster.hosts}
    strangers = [
        f"host {each.ref.name} ({each.id}) is not in the inventory any more; left as it is, and "
        "paid for"
        for each in seen.of("instance")
        if each.ref.name not in known
    ]
    ours = {change.ref for change in changes}
    interfaces = {str(each.details["interface"]) for each in seen.of("instance")}
    foreign = [
        f"{each.ref} leads to {each.id}, which is not of this cluster; kept"
        for each in seen.of("route")
        if each.ref not in ours
        and each.id not in interfaces
        and routes.within(each, cluster.network.pods)
    ]
    return (*strangers, *foreign)


WHERE = "aws"
"""How the cloud is called where otherwise a host's name stands."""


def result(change: Change) -> ResourceResult:
    """A change that was made, as an event."""
    return ResourceResult(
        host=WHERE,
        role="cloud",
        resource=str(change.ref),
        outcome="changed",
        before="; ".join(field.before for field in change.fields if field.before) or "absent",
        after="; ".join(field.after for field in change.fields if field.after) or "absent",
        diff="\n".join(diff(change)),
    )
