"""The kernel's tools fail or hang, and others drop what is forwarded: the old state stays in force,
the agent says so, and all comes right by itself."""

import os
import stat
import time
from contextlib import suppress

import pytest
from dataplanes import DATAPLANES

from romana.conformance.cases import ConformanceError
from romana.conformance.timeline import Fault

HOST = "host1"
TOOL = """#!/bin/sh
# As {1}, but that it fails as often as `fail` says, and hangs while there is `hang`.
left=$(cat {0}/fail 2>/dev/null || echo 0)
if [ "$left" -gt 0 ]; then
    echo $((left - 1)) > {0}/fail
    echo x >> {0}/failed
    echo "told to fail" >&2
    exit 1
fi
while [ -e {0}/hang ]; do sleep 0.05; done
PATH=${{PATH#{0}:}}
exec {1} "$@"
"""


@pytest.fixture(scope="module", params=["nftables", "iptables-nft"])
def backend(request):
    """Of all agents."""
    return request.param


@pytest.fixture(scope="module")
def orders(tmp_path_factory, backend):
    """The directory where the faulty tools are, and their orders."""
    where = tmp_path_factory.mktemp("tools")
    for name in DATAPLANES[backend].tools:
        (where / name).write_text(TOOL.format(where, name))
        (where / name).chmod(stat.S_IRWXU)
    return where


@pytest.fixture(scope="module")
def stage(staged, orders, backend, tmp_path_factory):
    work, path = tmp_path_factory.mktemp("stage"), f"{orders}:{os.environ['PATH']}"
    with staged(work, seed=8, backend=backend, environment={"PATH": path}) as made:
        yield made


@pytest.fixture
def order(orders):
    """Tells the tools how to behave; in the end, it is as it should be."""

    def order(name, text=""):
        (orders / f".{name}").write_text(text)
        (orders / f".{name}").rename(orders / name)

    yield order
    for name in ("fail", "hang", "failed"):
        (orders / name).unlink(missing_ok=True)


def failure(stage):
    """What the agent of host1 says is wrong."""
    return stage.cluster.ask(HOST, "status")["failure"]


def dropping(stage):
    """The chains of others that drop, as the agent of host1 tells of them."""
    return [
        each for each in stage.cluster.ask(HOST, "status")["others"] if each["policy"] == "drop"
    ]


def listed(stage):
    """What host1 holds of ours, without what counts."""
    return stage.dataplane.listed(stage.cluster.hosts[HOST].namespace)


def restart(stage, fault, done):
    """Start the agent of host1 anew, with a fault, so that it has the tool write what has changed
    meanwhile; and change the world until it is as far as it shall be."""
    stage.cluster.end(HOST)
    fault()
    stage.cluster.revive(HOST, wait=False)

    def changed():
        stage.change()
        stage.await_packets(5)
        with suppress(ConformanceError):  # it has not opened its socket yet
            return done()

    stage.eventually(changed)


def test_a_tool_that_fails_once_or_twice_is_tried_again(stage, order, orders):
    restart(stage, lambda: order("fail", "2"), lambda: (orders / "fail").read_text().strip() == "0")
    stage.await_agents()
    stage.sound()
    assert not failure(stage)
    stage.judge(switches=1)


def test_a_tool_that_fails_always_leaves_the_old_state_and_is_told(stage, order, orders):
    before = listed(stage)
    restart(stage, lambda: order("fail", "100000"), lambda: "told to fail" in failure(stage))
    with pytest.raises(ConformanceError, match="policies cannot be enforced: .*told to fail"):
        stage.cluster.ask(HOST, "cni.add", container="late", ifname="eth0")
    tried, since = len((orders / "failed").read_text()), time.monotonic()
    stage.await_packets(50)
    passed = max(1, time.monotonic() - since)
    assert len((orders / "failed").read_text()) - tried < 60 * passed  # it waits between attempts
    assert not stage.cluster.ask(HOST, "status")["enforced"]
    assert listed(stage) == before
    order("fail", "0")
    stage.sound()
    stage.judge(switches=1)
    assert not failure(stage)


def test_a_tool_that_hangs_leaves_the_old_state_and_is_told(stage, order, orders):
    before = listed(stage)
    restart(stage, lambda: order("hang"), lambda: "under way" in failure(stage))
    with pytest.raises(ConformanceError, match="policies cannot be enforced: a change"):
        stage.cluster.ask(HOST, "cni.add", container="late", ifname="eth0")
    assert listed(stage) == before
    (orders / "hang").unlink()
    stage.sound()
    stage.judge(switches=1)
    assert not failure(stage)


def test_a_chain_of_others_that_drops_is_named_and_not_touched(stage):
    host = stage.cluster.hosts[HOST].namespace
    assert dropping(stage) == []
    stage.judge()
    began = time.time()
    host.run(
        "nft",
        "-f",
        "-",
        stdin="table ip filter { chain FORWARD {\n"
        "type filter hook forward priority 0; policy drop;\n"
        "ip saddr 10.112.0.0/12 counter accept\n}\n}\n",
    )
    foreign = host.run("nft", "-s", "list", "table", "ip", "filter")
    (found,) = dropping(stage)
    assert (found["table"], found["chain"], found["policy"]) == ("ip filter", "FORWARD", "drop")
    assert "chain FORWARD of table ip filter drops" in str(
        stage.cluster.ask(HOST, "status")["problems"]
    )
    for _ in range(5):
        stage.change()
        stage.settle()
    stage.cluster.end(HOST)
    stage.cluster.revive(HOST)
    stage.dataplane.damages["the table"].do(host, stage.family)
    stage.eventually(lambda: stage.repaired(HOST, 0))
    assert host.run("nft", "-s", "list", "table", "ip", "filter") == foreign
    host.run("nft", "delete", "table", "ip", "filter")
    stage.sound()
    stage.faults.append(Fault(since=began, until=time.time(), admits=True))
    stage.judge(switches=2)
