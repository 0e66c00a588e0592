"""The agent killed, the kernel's state changed by hand: what policies forbid does not pass, and all
comes back by itself."""

import json
import re
import time

import pytest


def test_policies_hold_while_the_agent_is_killed_and_it_comes_back(stage, eventually):
    server = stage.addresses["server"]
    mute, insider = stage.said("mute"), stage.said("insider")
    friend, stranger = (
        stage.stream(name, server, stage.service) for name in ("friend", "stranger")
    )
    before, table = stage.agent()[0], stage.table()
    with friend, stranger:
        stage.cluster.on("node2", f"kill -9 {before}")
        eventually(20, lambda: stage.agent()[1] and stage.agent()[0] != before, "it is back")
        time.sleep(1)
    assert stranger.tried > 50
    assert stranger.passed == []
    assert friend.failed == []
    assert len(friend.passed) == friend.tried > 50
    assert stage.said("mute") - mute == set()
    assert stage.said("insider") - insider == set()
    assert stage.table() == table


DAMAGE = {
    "a rule": "nft delete rule inet romana forward handle $(nft -a list chain inet romana forward"
    " | sed -n 's/.*to-pod.*# handle //p')",
    "a map": "nft flush map inet romana ingress4",
    "a chain's rules": "nft flush chain inet romana forward",
    "a rule that lets all in": "nft insert rule inet romana forward accept",
    "the whole table": "nft delete table inet romana",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_changed_by_hand_comes_back_and_is_named(stage, eventually, what):
    table, logged = stage.table(), stage.repairs()
    with (
        stage.stream("stranger", stage.addresses["server"], every_s=0.02) as stranger,
        stage.stream("friend", stage.addresses["server"], every_s=0.02) as friend,
    ):
        time.sleep(0.2)
        stage.cluster.on("node2", DAMAGE[what])
        seconds = eventually(5, lambda: stage.table() == table, "repaired")
        repaired = time.monotonic()
        time.sleep(1)
    print(f"{what}: as it was after {seconds:.2f} s; {len(stranger.passed)} got through meanwhile")
    new = stage.repairs().removeprefix(logged)
    assert re.search(r'touched our table +what="inet romana changed by nft, pid \d+"', new), new
    assert "changed the policies in the kernel; repairing" in new
    assert [at for at in stranger.passed if at > repaired + 0.1] == []
    assert [at for at in friend.failed if at > repaired + 0.1] == []
    assert friend.passed


@pytest.mark.parametrize("kind", ["a pod's", "another node's"])
def test_a_route_deleted_by_hand_comes_back_and_is_named(stage, eventually, kind):
    logged = stage.repairs()
    routes = "ip route show proto 82 | sort"
    before = stage.cluster.on("node2", routes)
    own = f"{stage.addresses['server']} "
    route = next(
        line
        for line in before.splitlines()
        if (line.startswith(own) if kind == "a pod's" else " via " in line)
    )
    stage.cluster.on("node2", f"ip route del {route}")
    eventually(5, lambda: stage.cluster.on("node2", routes) == before, "repaired")
    assert "somebody changed our routes; repaired" in stage.repairs().removeprefix(logged)
    with stage.stream("friend", stage.addresses["server"]) as friend:
        time.sleep(0.5)
    assert friend.failed == []


def test_status_tells_of_repairs_and_who_made_them_necessary(stage, eventually):
    def repairs():
        return json.loads(stage.cluster.on("node2", "romana status --json"))["repairs"]

    before = repairs()
    stage.cluster.on("node2", "nft flush map inet romana ingress4")
    eventually(5, lambda: repairs()["policy"] > before["policy"], "it is repaired")
    assert "changed by nft, pid" in repairs()["last"]
    assert "changed by nft, pid" in stage.cluster.on("node2", "romana status")
