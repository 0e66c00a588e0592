"""Services as upstart sees them: golden job files beside the units, and a grammar that refuses what
upstart refuses."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstart_grammar import Job, Mistake, parse

from installer.errors import InstallerError
from installer.hosts.init import Upstart
from installer.resources import Service

GOLDEN = Path(__file__).parent / "golden"
UPSTART = Upstart()
PLAIN = Service(
    "thing", init=UPSTART, description="A thing", command=("/usr/bin/thing", "--flag=value")
)
SERVICES = {
    "plain": PLAIN,
    "everything": Service(
        "etcd",
        init=UPSTART,
        description="etcd, the cluster's store",
        command=("/usr/bin/etcd", "--name=it's here", "--percent=50%", "--var=$HOME", 'say "no"'),
        environment=(("GOMAXPROCS", "2"), ("GREETING", '50% of "$HOME"')),
        after=("network-online.target", "containerd.service"),
        before=("kube-apiserver.service",),
        wants=("containerd.service",),
        user="etcd",
        limits=(("NOFILE", "65536"), ("MEMLOCK", "infinity")),
        type="notify",
        directives=(("Delegate", "yes"), ("KillMode", "process"), ("OOMScoreAdjust", "-999")),
        ready="true",
    ),
    "notify": replace(
        PLAIN, type="notify", ready="curl x\ngrep y", directives=(("TimeoutStopSec", "5"),)
    ),
    "oneshot": replace(PLAIN, name="once", type="oneshot", after=("thing.service",), wants=()),
}


def job(service: Service) -> Job:
    return parse(service.name, UPSTART.render(service))


@pytest.mark.parametrize("name", SERVICES)
def test_jobs_are_as_they_were_and_upstart_understands_them(name: str) -> None:
    path = GOLDEN / f"{name}.conf"
    text = UPSTART.render(SERVICES[name])
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()
    assert job(SERVICES[name]).description == SERVICES[name].description


def test_what_a_job_says() -> None:
    found = job(SERVICES["everything"])
    assert found.start_on == ("runlevel", ("[2345]",))
    assert found.stop_on == ("runlevel", ("[!2345]",))
    assert (found.respawn, found.respawn_limit, found.respawn_interval) == (True, 10, 5)
    assert found.kill_timeout == 90
    assert found.limits == {"nofile": ("65536", "65536"), "memlock": ("unlimited", "unlimited")}
    assert found.env == {"GOMAXPROCS": "2", "GREETING": '50% of "$HOME"'}
    assert found.settings["setuid"] == found.settings["setgid"] == "etcd"
    assert found.settings["oom"] == "-999"
    assert "expect" not in found.settings
    # Readiness is asked for with root's keys.
    assert set(found.processes) == {"pre-start", "main", "post-stop"}
    assert set(job(SERVICES["notify"]).processes) == {"main", "post-start", "post-stop"}
    assert job(SERVICES["notify"]).kill_timeout == 5


def test_a_oneshot_is_all_pre_start() -> None:
    found = job(SERVICES["oneshot"])
    assert set(found.processes) == {"pre-start"}
    assert not found.respawn


@pytest.mark.parametrize(
    ("service", "what"),
    [
        (replace(PLAIN, directives=(("ProtectHome", "yes"),)), "nothing for ProtectHome"),
        (replace(PLAIN, command=("/bin/sh", "-c", "a\nb")), "two lines"),
        (replace(PLAIN, environment=(("A", "b\nc"),)), "two lines"),
    ],
)
def test_what_upstart_cannot_do_is_refused(service: Service, what: str) -> None:
    with pytest.raises(InstallerError, match=what):
        UPSTART.render(service)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))),
        min_size=1,
        max_size=4,
    )
)
def test_words_stay_words(words: list[str]) -> None:
    text = job(replace(PLAIN, command=("/bin/echo", *words))).processes["main"].text
    assert shlex.split(text.replace("\\\n", " "))[1:] == ["/bin/echo", *words]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))))
def test_texts_survive_quoting(text: str) -> None:
    found = job(replace(PLAIN, description=text, environment=(("A", text),)))
    assert (found.description, found.env["A"]) == (text, text)


@pytest.mark.parametrize("name", SERVICES)
def test_scripts_are_posix_sh(name: str) -> None:
    for process in job(SERVICES[name]).processes.values():
        done = subprocess.run(["dash", "-n"], input=process.text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


GOOD = """
# A job with a bit of everything.
description "It's" # said with a comment
author 'Me'
start on (runlevel [2345] and (started dbus
          or net-device-up IFACE!=lo))
stop on stopping dbus JOB=x or runlevel [!2345]
env PATH=/bin
env EMPTY
export PATH
emits one two
respawn
respawn limit unlimited
normal exit 0 TERM SIGINT
kill timeout 10
kill signal SIGINT
reload signal USR1
expect none
console output
umask 0022
nice -5
oom score never
limit core unlimited unlimited
limit nofile 1 2
chdir /
apparmor switch usr.bin.x
pre-start exec mkdir -p /run/x \\
  /run/y
script
  exec thing "# no comment" 'end
  script'
  end script
post-stop script # text
end script
"""


def test_good_jobs_are_read() -> None:
    found = parse("good", GOOD)
    assert found.description == "It's"
    assert found.start_on is not None
    assert found.start_on[0] == "and"
    assert found.processes["pre-start"].text == "mkdir -p /run/x    /run/y"
    assert found.processes["main"].text.endswith("script'\n")
    assert found.processes["post-stop"].text == ""


BAD = {
    "unknown stanza": "respawns",
    "unknown second word": "respawn forever",
    "limit of one number": "respawn\nrespawn limit 10",
    "limit of no number": "respawn\nrespawn limit ten 5",
    "limit without respawn": "respawn limit 10 5\nexec x",
    "more than a stanza takes": "setuid etcd etcd",
    "missing argument": "setuid",
    "no hard limit": "limit nofile 1048576",
    "limit of another system": "limit NOFILE 1 1",
    "soft above hard": "limit nofile 2 1",
    "infinity is systemd's word": "limit core infinity infinity",
    "console": "console syslog",
    "expect": "expect forked\nexec x",
    "kill timeout": "kill timeout 5s",
    "kill what": "kill -9",
    "oom score": "oom score -1001",
    "oom": "oom -999",
    "nice": "nice 20",
    "umask": "umask 888",
    "env": "env 1A=b",
    "start without on": "start runlevel 2",
    "no event": "start on",
    "operator at the end": "start on a and",
    "operator at the beginning": "start on or a",
    "open parenthesis": "start on (a",
    "closed parenthesis": "start on a)",
    "event beside a parenthesis": "start on a (b)",
    "script without end": "script\nexec x",
    "text behind script": "script exec x\nend script",
    "pre-start of nothing": "pre-start\nexec x",
    "exec of nothing": "exec",
    "open quote": 'description "a',
    "said twice": "exec a\nexec b",
    "two mains": "exec a\nscript\nend script",
    "respawned task": "task\nrespawn\nexec x",
    "respawn of nothing": "respawn\npre-start exec x",
    "signal": "kill signal SIGFOO",
    "reload": "reload USR1",
    "normal": "normal 0",
    "apparmor": "apparmor enforce x",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_mistakes_are_found(text: str) -> None:
    with pytest.raises(Mistake):
        parse("bad", text)
