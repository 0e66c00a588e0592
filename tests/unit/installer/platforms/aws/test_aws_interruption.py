"""A run that is cut at any call is continued by the next one, in both directions; what AWS shows
late or refuses for a while is waited for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from installer.errors import PlatformError


class Limit(Exception):
    """More calls than could be needed."""


def silent(event: object) -> None:
    pass


def at(number: int) -> Callable[[int, str], str]:
    """Carries calls out, and breaks the connection after the one of that number: what the run
    leaves is what it would leave if it were killed before the next."""
    return lambda count, action: "after" if count == number else ""


def names(cloud) -> list[str]:
    """Hosts of instances that run, each as often as there is one."""
    return sorted(
        next(tag["value"] for tag in instance.get_tags() if tag["key"] == "romana.io/name")
        for reservation in cloud.backend.reservations.values()
        for instance in reservation.instances
        if instance.state == "running"
    )


def counts(cloud) -> tuple[int, ...]:
    """How many there are of what we make."""
    from moto.iam import iam_backends

    backend, iam = cloud.backend, iam_backends["123456789012"]["aws"]
    ours = [vpc for vpc in backend.vpcs.values() if not vpc.is_default]
    tables = [table for table in backend.route_tables.values() if table.get_tags()]
    subnets = [s for zone in backend.subnets.values() for s in zone.values() if s.get_tags()]
    groups = [g for vpc in backend.groups.values() for g in vpc.values() if g.name != "default"]
    return tuple(
        map(
            len,
            (
                ours, subnets, backend.internet_gateways, tables, groups, backend.key_pairs,
                iam.roles, iam.instance_profiles, backend.volumes,
            ),
        )
    )  # fmt: skip


WHOLE = (1, 2, 1, 1, 1, 1, 1, 1, 2)
NONE = (0,) * len(WHOLE)


def test_making_is_continued_from_any_call(cloud, cluster, aws, subtests_of) -> None:
    wanted = cluster(nodes=1)
    for number in subtests_of(cloud, lambda: aws().provision(wanted, silent)):
        cloud.cut = at(number)
        with pytest.raises(PlatformError, match="Connection was closed before"):
            aws().provision(wanted, silent)
        cloud.cut = lambda *_: ""
        aws().provision(wanted, silent)
        assert [line for line in aws().plan(wanted) if not line.startswith("verify")] == []
        assert counts(cloud) == WHOLE, number
        assert names(cloud) == ["controller", "node1"], number


def test_removing_is_continued_from_any_call(cloud, cluster, aws, subtests_of) -> None:
    wanted = cluster(nodes=1)

    def whole() -> None:
        aws().provision(wanted, silent)
        cloud.changes = 0
        aws().destroy(wanted, silent)

    for number in subtests_of(cloud, whole):
        aws().provision(wanted, silent)
        cloud.changes, cloud.cut = 0, at(number)
        with pytest.raises(PlatformError, match="Connection was closed before"):
            aws().destroy(wanted, silent)
        cloud.cut = lambda *_: ""
        aws().destroy(wanted, silent)
        assert (counts(cloud), names(cloud)) == (NONE, []), number


def test_a_half_made_cluster_is_removed_wherever_it_was_cut(
    cloud, cluster, aws, subtests_of
) -> None:
    wanted = cluster(nodes=1)
    for number in subtests_of(cloud, lambda: aws().provision(wanted, silent)):
        cloud.cut = at(number)
        with pytest.raises(PlatformError):
            aws().provision(wanted, silent)
        cloud.cut = lambda *_: ""
        aws().destroy(wanted, silent)
        assert (counts(cloud), names(cloud)) == (NONE, []), number


@pytest.fixture
def subtests_of(request: pytest.FixtureRequest):
    """The numbers of the calls that a piece of work makes, each on an empty account."""

    def numbers(cloud, work: Callable[[], object]):
        work()
        total = cloud.changes
        assert total > 10
        for number in range(1, total + 1):
            cloud.__init__()
            cloud.reset()
            yield number

    return numbers


def test_a_launch_that_was_not_heard_of_is_not_repeated(cloud, cluster, aws) -> None:
    wanted = cluster(nodes=1)
    aws().provision(wanted, silent)
    lost = next(
        instance
        for reservation in cloud.backend.reservations.values()
        for instance in reservation.instances
        if instance.private_ip == "10.0.64.10"
    )
    cloud.backend.terminate_instances([lost.id])
    unaware = aws()
    unaware.plan(wanted)
    blind = unaware._planned
    cloud.cut = lambda count, action: "after" if action == "ec2:RunInstances" else ""
    with pytest.raises(PlatformError):
        unaware.provision(wanted, silent)
    cloud.cut = lambda *_: ""
    # EC2 does not show it yet, so that the next run knows nothing of it either.
    unaware._planned = blind
    unaware.provision(wanted, silent)
    assert names(cloud) == ["controller", "node1"]


def test_a_new_instance_in_place_of_an_ended_one_is_another_launch(cloud, cluster, aws) -> None:
    wanted = cluster("aws.host_keys=console", nodes=1)
    aws().provision(wanted, silent)
    for _ in range(2):
        for reservation in list(cloud.backend.reservations.values()):
            for instance in reservation.instances:
                if instance.state == "running":
                    cloud.backend.terminate_instances([instance.id])
        aws().provision(wanted, silent)
        assert names(cloud) == ["controller", "node1"]


@pytest.mark.parametrize(
    "trouble",
    [{"throttled": 5}, {"unseen": 3}, {"unknown_profile": 4}],
    ids=["throttled", "seen late", "profile known late"],
)
def test_what_passes_is_waited_for(cloud, cluster, aws, trouble) -> None:
    for key, value in trouble.items():
        setattr(cloud, key, value)
    aws().provision(cluster(nodes=1), silent)
    assert names(cloud) == ["controller", "node1"]
    assert counts(cloud) == WHOLE


def test_waiting_has_an_end(cloud, cluster, aws) -> None:
    from installer.platforms.aws.api import Pace

    cloud.throttled = 1 << 30
    hasty = Pace(first_s=0.001, longest_s=0.01, throttled_s=0.1, visible_s=1, running_s=1)
    with pytest.raises(PlatformError, match="RequestLimitExceeded"):
        aws(hasty).plan(cluster())


def test_instances_that_end_late_are_waited_for(cloud, cluster, aws) -> None:
    aws().provision(cluster(nodes=1), silent)
    cloud.ending = 6
    aws().destroy(cluster(nodes=1), silent)
    assert (counts(cloud), names(cloud)) == (NONE, [])
