"""What we say to upstart, carried out by sh in a root without Python: starting, stopping,
restarting, asking, enabling, disabling, logs; and what upstart answers by itself."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
from old_machine import Machine, eventually

from installer.engine.plan import judge, probe
from installer.engine.script import payloads, repairs, sections
from installer.hosts.init import Upstart
from installer.resources import Change, File, Service

UPSTART = Upstart()
THING = Service(
    "thing", init=UPSTART, description="A thing", command=("/usr/local/bin/thing", "it's on")
)
PROGRAM = "#!/bin/sh\necho \"on: $*\"\ntrap 'exit 0' TERM\nwhile :; do sleep 1; done\n"


@pytest.fixture
def thing(machine: Machine) -> Machine:
    """A machine with the job `thing` and its program, not started."""
    machine.root.put("/usr/local/bin/thing", PROGRAM)
    machine.root.put("/etc/init/thing.conf", UPSTART.render(THING), 0o644)
    return machine


def look(machine: Machine, wanted: Service) -> Change | None:
    verdict = judge(wanted, probe(machine.session, [wanted])[0], set())
    assert not verdict.error, verdict.error
    return verdict.change


def mend(machine: Machine, wanted: Service) -> tuple[int | None, str]:
    """Carries out what differs: status, and what was said."""
    change = look(machine, wanted)
    assert change is not None
    output = machine.session.run(repairs([change], "marker"), files=payloads([change]))
    return sections(output.stdout, "marker")[0].status, output.stdout


def test_what_initctl_says_and_how_it_ends(thing: Machine) -> None:
    assert thing.sh("initctl status thing") == (0, "thing stop/waiting\n")
    assert thing.sh("initctl status x") == (1, "initctl: Unknown job: x\n")
    assert thing.sh("initctl start x") == (1, "initctl: Unknown job: x\n")
    assert thing.sh("initctl stop thing") == (1, "initctl: Unknown instance: \n")
    assert thing.sh("initctl restart thing") == (1, "initctl: Unknown instance: \n")
    status, said = thing.sh("initctl start thing")
    assert (status, said) == (0, f"thing start/running, process {thing.pid('thing')}\n")
    assert thing.sh("initctl start thing") == (1, "initctl: Job is already running: thing\n")
    assert thing.sh("initctl stop thing") == (0, "thing stop/waiting\n")


def test_every_operation(thing: Machine) -> None:
    state = UPSTART.state("thing")
    assert thing.sh(state) == (0, "enabled inactive\n")
    assert thing.sh(UPSTART.failed("thing"))[0] == 0
    assert thing.sh(UPSTART.start("thing") * 2) == (0, "")
    thing.eventually_is("thing", "start/running")
    assert thing.sh(state) == (0, "enabled active\n")
    assert thing.sh(UPSTART.failed("thing"))[0] == 1
    first = thing.pid("thing")
    assert thing.sh(UPSTART.restart("thing")) == (0, "")
    thing.eventually_is("thing", "start/running")
    assert thing.pid("thing") != first
    log = "/var/log/upstart/thing.log"
    eventually(lambda: (thing.root.root / log[1:]).read_text().count("on: it's on") == 2)
    assert thing.sh(UPSTART.log("thing", 1)) == (0, "on: it's on\n")
    assert thing.sh(UPSTART.stop("thing") * 2) == (0, "")
    assert thing.sh(state) == (0, "enabled inactive\n")
    assert thing.root.forbidden == ()


def test_an_override_disables_and_keeps_what_else_it_says(thing: Machine) -> None:
    override = thing.root.root / "etc/init/thing.override"
    override.write_text("env A=b\n")
    for _ in range(2):
        assert thing.sh(UPSTART.disable("thing")) == (0, "")
    assert override.read_text() == "env A=b\nmanual\n"
    assert thing.sh(UPSTART.state("thing")) == (0, "disabled inactive\n")
    thing.init.boot()
    assert thing.status("thing") == "thing stop/waiting"
    assert thing.sh(UPSTART.start("thing")) == (0, "")
    thing.eventually_is("thing", "start/running")
    assert thing.sh(UPSTART.enable("thing")) == (0, "")
    assert override.read_text() == "env A=b\n"
    assert thing.sh(UPSTART.state("thing")) == (0, "enabled active\n")
    override.write_text("manual\n")
    assert thing.sh(UPSTART.enable("thing") * 2) == (0, "")
    assert not override.exists()


def test_a_job_that_was_rewritten_is_restarted_as_it_is_now(thing: Machine) -> None:
    """initctl restart would not: an instance keeps the job file that it was started with."""
    thing.sh(UPSTART.start("thing"))
    thing.eventually_is("thing", "start/running")
    changed = replace(THING, command=("/usr/local/bin/thing", "new"))
    thing.root.put("/etc/init/thing.conf", UPSTART.render(changed), 0o644)
    log = thing.root.root / "var/log/upstart/thing.log"
    assert thing.sh("initctl restart thing >/dev/null")[0] == 0
    eventually(lambda: log.read_text().count("on: it's on") == 2)
    assert thing.sh(UPSTART.restart("thing")) == (0, "")
    eventually(lambda: "on: new" in log.read_text())


def test_what_dies_is_started_again_for_ever_and_one_at_a_time(thing: Machine) -> None:
    thing.sh(UPSTART.start("thing"))
    thing.eventually_is("thing", "start/running")
    for _ in range(2):
        pid = thing.pid("thing")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: thing.pid("thing") not in (0, pid))
    assert thing.init.log.count("thing post-stop") == 2


def test_what_dies_at_once_is_given_up_without_the_pause(machine: Machine) -> None:
    text = "respawn\nrespawn limit 3 60\nexec false\n"
    machine.root.put("/etc/init/brief.conf", text, 0o644)
    machine.root.put("/bin/false", "#!/bin/sh\nexit 1\n")
    assert machine.sh("initctl start brief >/dev/null")[0] == 0
    machine.eventually_is("brief", "stop/waiting")
    assert machine.init.log.count("brief spawned") == 4
    assert machine.sh(UPSTART.failed("brief"))[0] == 0


def test_a_program_that_does_not_end_is_killed(machine: Machine) -> None:
    stubborn = replace(
        THING,
        name="stubborn",
        command=("/usr/local/bin/stubborn",),
        directives=(("TimeoutStopSec", "1"),),
    )
    machine.root.put(
        "/usr/local/bin/stubborn", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n"
    )
    machine.root.put("/etc/init/stubborn.conf", UPSTART.render(stubborn), 0o644)
    machine.sh(UPSTART.start("stubborn"))
    machine.eventually_is("stubborn", "start/running")
    assert machine.sh(UPSTART.stop("stubborn"))[0] == 0
    assert machine.status("stubborn") == "stubborn stop/waiting"


def test_a_oneshot_stays_and_fails_with_its_command(machine: Machine) -> None:
    once = replace(THING, name="once", type="oneshot", command=("/bin/mkdir", "/run/once"))
    status, said = mend(machine, once)
    assert status == 0, said
    assert machine.status("once") == "once start/running"
    assert look(machine, once) is None
    assert machine.sh("initctl stop once >/dev/null")[0] == 0
    assert machine.sh("initctl start once")[1] == "initctl: Job failed to start\n"
    assert machine.status("once") == "once stop/waiting"


def test_ready_is_not_running_and_order_waits_for_it(thing: Machine) -> None:
    slow = replace(THING, type="notify", ready="[ -e /run/thing-is-ready ]")
    late = replace(THING, name="late", after=("network-online.target", "thing.service"))
    for service in (slow, late):
        thing.root.put(f"/etc/init/{service.name}.conf", UPSTART.render(service), 0o644)
    thing.init.boot()
    thing.eventually_is("thing", "start/post-start")
    thing.eventually_is("late", "start/pre-start")
    thing.root.put("/run/thing-is-ready", "")
    thing.eventually_is("late", "start/running")
    assert thing.status("thing") == "thing start/running"
    order = [each for each in thing.init.log if each in ("thing running", "late spawned")]
    assert order == ["thing running", "late spawned"]


def test_a_post_start_ends_with_what_it_waits_for(thing: Machine) -> None:
    """As long as it runs, upstart does not respawn."""
    never = replace(THING, type="notify", ready="false", ready_timeout_s=3600)
    thing.root.put("/etc/init/thing.conf", UPSTART.render(never), 0o644)
    thing.sh(UPSTART.start("thing"))
    thing.eventually_is("thing", "start/post-start")
    first = thing.pid("thing")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: thing.pid("thing") not in (0, first))


def test_digests_of_inputs_decide_as_with_systemd(thing: Machine) -> None:
    wanted = replace(THING, restart_on=(File("/etc/thing.conf", "old"),))
    (thing.root.root / "etc/init/thing.conf").unlink()
    status, said = mend(thing, wanted)
    assert status == 0, said
    assert look(thing, wanted) is None
    first = thing.pid("thing")
    changed = replace(THING, restart_on=(File("/etc/thing.conf", "new"),))
    change = look(thing, changed)
    assert change is not None
    assert change.before == "active enabled, started with other inputs"
    mend(thing, changed)
    assert thing.pid("thing") != first
    # What was stopped by hand is started, and what was disabled is enabled without a restart.
    second = thing.pid("thing")
    thing.sh(UPSTART.disable("thing"))
    mend(thing, changed)
    assert thing.pid("thing") == second
    thing.sh(UPSTART.stop("thing"))
    mend(thing, changed)
    assert look(thing, changed) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [("respawn forever\n", "initctl: Unknown job: thing"), ("pre-start exec false\n", "did not")],
    ids=["a job file that is none", "a pre-start that fails"],
)
def test_what_does_not_start_says_why(thing: Machine, text: str, says: str) -> None:
    class Broken(Upstart):
        def render(self, service: Service) -> str:
            return UPSTART.render(service) + text

    thing.root.put("/bin/false", "#!/bin/sh\nexit 1\n")
    broken = replace(THING, init=Broken(), ready_timeout_s=2)
    (thing.root.root / "etc/init/thing.conf").unlink()
    status, said = mend(thing, broken)
    assert status == 1
    assert says in said or "was not ready" in said, said
    assert look(thing, broken) is not None


def test_entering_single_user_mode_stops_and_leaving_it_starts(thing: Machine) -> None:
    thing.init.boot()
    thing.eventually_is("thing", "start/running")
    thing.init.emit("runlevel", RUNLEVEL="1", PREVLEVEL="2")
    thing.eventually_is("thing", "stop/waiting")
    thing.init.emit("runlevel", RUNLEVEL="2", PREVLEVEL="1")
    thing.eventually_is("thing", "start/running")
