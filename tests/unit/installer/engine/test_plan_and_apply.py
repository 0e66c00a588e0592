"""Plan and apply against hosts that really execute: convergence, prediction, interruption."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from installer.cluster import Group, Host
from installer.engine.apply import Applied, apply
from installer.engine.plan import Plan, probe_all, wanted
from installer.errors import InstallerError
from installer.events import Event, ResourceResult, RoleFinished
from installer.hosts.fake import FakeHost
from installer.hosts.init import Systemd
from installer.resources import Condition, Directory, File, Resource, Service, Symlink
from installer.roles.role import Role, Target

PROGRAMS = Path(__file__).parents[1] / "host_programs"
Roles = Sequence[tuple[str, Sequence[Resource]]]


def fake(root: Path, name: str = "node1") -> FakeHost:
    host = FakeHost(name, root)
    for program in PROGRAMS.iterdir():
        link = root / "bin" / program.name
        if not link.exists():
            link.write_bytes(program.read_bytes())
            link.chmod(0o755)
    return host


def target(name: str, groups: tuple[Group, ...] = ("controller", "nodes")) -> Target:
    host = Host(name=name, address=IPv4Address("198.18.0.10"), groups=groups)
    cluster = SimpleNamespace(balanced=False)
    return cast("Target", SimpleNamespace(host=host, cluster=cluster, leads=True))


def role(name: str, resources: Sequence[Resource]) -> Role:
    def generate(_: Target) -> Iterator[Resource]:
        yield from resources

    return Role(name=name, title=name.title(), on="all", resources=generate)


def plan_for(hosts: Sequence[FakeHost], roles: Roles) -> Plan:
    made = [role(name, resources) for name, resources in roles]
    everything = [wanted(made, target(host.host)) for host in hosts]
    return probe_all(made, everything, {host.host: host for host in hosts})


def converge(hosts: Sequence[FakeHost], roles: Roles) -> tuple[Plan, Applied, list[Event]]:
    events: list[Event] = []
    plan = plan_for(hosts, roles)
    applied = apply(plan, {host.host: host for host in hosts}, events.append)
    return plan, applied, events


def service(name: str, *inputs: Resource) -> Service:
    return Service(
        name,
        init=Systemd(),
        description=name,
        command=(f"/usr/bin/{name}",),
        restart_on=inputs,
        ready_timeout_s=5,
    )


PATHS = ("/etc/a.conf", "/etc/b.conf", "/srv/x/c.conf", "/opt/d/e")


@st.composite
def resource_sets(draw: Any) -> Roles:
    """Roles with resources of several kinds over few paths, so that two sets conflict."""
    roles = []
    paths = list(PATHS)
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        resources: list[Resource] = []
        for path in draw(st.lists(st.sampled_from(paths), unique=True)) if paths else ():
            paths.remove(path)
            resources.append(draw(_thing(path)))
        inputs = tuple(item for item in resources if draw(st.booleans()))
        if draw(st.booleans()):
            resources.append(service(f"service-{name}", *inputs))
        roles.append((name, resources))
    return roles


def _thing(path: str) -> st.SearchStrategy[Resource]:
    return st.one_of(
        st.builds(
            lambda text, mode, secret: File(path, text, mode=mode, secret=secret),
            st.text("ab \n'\"$`\\\x00é", max_size=30),
            st.sampled_from((0o600, 0o644, 0o755)),
            st.booleans(),
        ),
        st.builds(lambda mode: Directory(f"{path}.d", mode=mode), st.sampled_from((0o700, 0o755))),
        st.builds(lambda to: Symlink(f"{path}.link", to), st.sampled_from(("/etc/p", "q"))),
    )


EXECUTES = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@EXECUTES
@given(before=resource_sets(), after=resource_sets())
def test_the_plan_is_what_apply_reports_and_the_second_run_changes_nothing(
    before: Roles, after: Roles
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        host = fake(Path(directory))
        converge([host], before)
        plan, applied, events = converge([host], after)
        assert applied.failures == ()
        results = [event for event in events if isinstance(event, ResourceResult)]
        planned = [r.id for work in plan.works for r, _ in work.changes]
        assert [event.resource for event in results if event.outcome == "changed"] == planned
        assert len(results) == sum(len(work.resources) for work in plan.works)
        trips = host.round_trips
        assert not plan_for([host], after).pending
        assert host.round_trips == trips + bool(results)


def cut_at(share: float) -> Callable[[str], str | None]:
    """Lets a repair run up to some of its lines, as a killed run or a lost connection does."""

    def cut(script: str) -> str | None:
        if " begin 0" not in script or "both()" in script:
            return None
        lines = script.splitlines()
        for length in range(int(len(lines) * share), 0, -1):
            for closing in ("", ")", "fi", "fi\n)", "done\n)", "}\n)"):
                text = "\n".join([*lines[:length], closing])
                if subprocess.run(
                    ["sh", "-n"], input=text, text=True, capture_output=True
                ).returncode:
                    continue
                return f"{text}\nexit 0\n"
        return "exit 0\n"

    return cut


@EXECUTES
@given(roles=resource_sets(), shares=st.lists(st.floats(0, 0.99), min_size=1, max_size=3))
def test_a_run_that_is_killed_anywhere_is_continued_by_the_next(
    roles: Roles, shares: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        host = fake(Path(directory))
        for share in shares:
            host.cut = cut_at(share)
            converge([host], roles)
        host.cut = None
        _, applied, _ = converge([host], roles)
        assert applied.failures == ()
        assert not plan_for([host], roles).pending


@pytest.mark.parametrize("share", [index / 12 for index in range(12)])
def test_a_service_whose_file_was_mended_before_the_kill_is_restarted_by_the_next_run(
    host: FakeHost, share: float
) -> None:
    settings_file = File("/etc/thing.conf", "good\n")
    roles: Roles = [("files", [settings_file]), ("run", [service("thing", settings_file)])]
    converge([host], roles)
    starts = host.path("/run/units/thing.starts")
    settings_path = host.path("/etc/thing.conf")
    settings_path.write_text("spoilt by hand\n")
    host.cut = cut_at(share)
    converge([host], roles)
    host.cut = None
    mended_then, started_then = settings_path.read_text() == "good\n", len(starts.read_text())
    converge([host], roles)
    assert settings_path.read_text() == "good\n"
    assert len(starts.read_text()) > started_then or not mended_then


def test_an_unreachable_host_leaves_the_others_done(
    new_host: Callable[[str], FakeHost],
) -> None:
    hosts = [new_host(name) for name in ("node1", "node2", "node3")]
    roles: Roles = [("a", [File("/etc/a", "a")]), ("b", [File("/etc/b", "b")])]
    plan = plan_for(hosts, roles)
    hosts[1].reachable = False
    events: list[Event] = []
    applied = apply(plan, {host.host: host for host in hosts}, events.append)
    assert [(item.host, item.role, item.unreachable) for item in applied.failures] == [
        ("node2", "a", True)
    ]
    assert hosts[0].path("/etc/b").exists()
    assert hosts[2].path("/etc/b").exists()
    finished = {(e.host, e.role): e.outcome for e in events if isinstance(e, RoleFinished)}
    assert finished["node2", "a"] == "unreachable"
    assert finished["node2", "b"] == "skipped"
    assert finished["node3", "b"] == "changed"


def test_a_failure_ends_its_host_at_that_resource_and_tells_the_last_lines(
    host: FakeHost,
) -> None:
    host.path("/etc/dir").mkdir()
    resources = [File("/etc/a", "a"), File("/etc/dir", "not a directory"), File("/etc/z", "z")]
    _, applied, events = converge([host], [("a", resources), ("b", [File("/etc/b", "b")])])
    results = {e.resource: e for e in events if isinstance(e, ResourceResult)}
    assert [results[item.id].outcome for item in resources] == ["changed", "failed", "skipped"]
    assert "cannot overwrite directory" in results["file:/etc/dir"].reason
    assert results["file:/etc/b"].outcome == "skipped"
    assert applied.failures[0].reason.startswith("file:/etc/dir: ")
    assert not host.path("/etc/b").exists()


def test_what_a_later_role_undoes_is_found_at_the_end(host: FakeHost) -> None:
    roles: Roles = [("a", [Symlink("/etc/x", "one")]), ("b", [File("/etc/x", "two")])]
    _, applied, _ = converge([host], roles)
    assert "differs again at the end of the run" in applied.failures[0].reason


def test_a_condition_that_a_change_upsets_for_a_moment_has_time_to_hold_again(
    host: FakeHost,
) -> None:
    """A node is not Ready just after its runtime was restarted, though it was when planned."""
    upset = "rm -f /run/ready; : >/run/restarted; ( sleep 0.5; : >/run/ready ) >/dev/null 2>&1 &"
    roles: Roles = [
        ("a", [Condition("restarted", holds="[ -e /run/restarted ]", repair=upset)]),
        ("b", [Condition("ready", holds="[ -e /run/ready ]", timeout_s=5)]),
    ]
    host.path("/run/ready").touch()
    _, applied, events = converge([host], roles)
    assert applied.failures == ()
    outcomes = {e.resource: e.outcome for e in events if isinstance(e, ResourceResult)}
    assert outcomes == {"condition:restarted": "changed", "condition:ready": "ok"}


def test_roles_that_contradict_each_other_are_a_fault(host: FakeHost) -> None:
    with pytest.raises(InstallerError, match="roles a and b want different things of file:/etc/x"):
        plan_for([host], [("a", [File("/etc/x", "1")]), ("b", [File("/etc/x", "2")])])


def test_what_two_roles_want_alike_is_held_once(host: FakeHost) -> None:
    shared = Directory("/etc/shared")
    plan, *_ = converge([host], [("a", [shared]), ("b", [shared])])
    assert [work.resources for work in plan.works] == [(shared,), ()]


@pytest.mark.parametrize(
    ("on", "hosts"),
    [
        ("all", ["c1", "c2", "n1"]),
        ("controller", ["c1", "c2"]),
        ("first-controller", ["c1"]),
        ("nodes", ["n1"]),
        ("balanced", ["c1", "c2", "n1"]),
    ],
)
def test_roles_apply_to_their_hosts(on: Any, hosts: list[str]) -> None:
    groups: dict[str, tuple[Group, ...]] = {
        "c1": ("controller",),
        "c2": ("controller",),
        "n1": ("nodes",),
    }
    cluster = SimpleNamespace(balanced=True)
    made = Role(name="r", title="R", on=on, resources=lambda _: iter([File("/x", "")]))
    found = [
        name
        for name, group in groups.items()
        if wanted(
            [made],
            cast(
                "Target",
                SimpleNamespace(host=target(name, group).host, cluster=cluster, leads=name == "c1"),
            ),
        ).resources
    ]
    assert found == hosts


def test_a_probe_that_fails_is_a_failure_with_its_words(host: FakeHost) -> None:
    host.path("/bin/stat").write_text("#!/bin/sh\necho broken disk >&2\nexit 3\n")
    host.path("/bin/stat").chmod(0o755)
    host.path("/etc/a").mkdir()
    broken = SimpleNamespace(
        id="broken:x", digest="", probe=lambda: "stat /x; exit 3\n", compare=lambda *_: None
    )
    plan = plan_for([host], [("a", [cast("Resource", broken)])])
    assert re.fullmatch(r"its probe ended with 3: broken disk", plan.errors[0][1].error)
