"""A thousand attachments and detachments at random, many at once, with kills of the agent and
sandboxes that end without a word: what is left are exactly those that live."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest

from romana.conformance.cases import ConformanceError
from romana.ipam.leases import Leases

REQUESTS = 1000
SANDBOXES = 24
AT_ONCE = 6
KILLS = 10
HOST = "host1"


class Sandbox:
    """A network namespace that lives and ends; each life has a container id of its own."""

    def __init__(self, stage, number):
        self.stage, self.number = stage, number
        self.lives, self.attached, self.leaving, self.address = 0, False, False, ""
        self.where = self.made()

    @property
    def container(self):
        return f"sandbox-{self.number}-{self.lives}"

    def made(self):
        return self.stage.lab.namespace(self.container)

    def ask(self, method):
        """Ask the agent; whether it has done so."""
        parameters = {
            "container": self.container,
            "ifname": "eth0",
            "netns": str(self.where.path),
            "args": {"K8S_POD_NAMESPACE": "x", "K8S_POD_NAME": f"sandbox{self.number}"},
        }
        try:
            return self.stage.cluster.ask(HOST, method, **parameters) or {}
        except (ConformanceError, OSError):
            return None

    def act(self, choice):
        """One request, or the end of the sandbox without one.

        Returns:
            Whether it was a request.
        """
        if not self.attached:
            answer = self.ask("cni.add")
            if answer is not None:
                self.attached = True
                (given,) = (each["address"] for each in answer["ips"])
                self.address = given.partition("/")[0]
            return True
        if self.leaving or choice > 0.2:
            self.leave()
        elif choice < 0.1:
            self.vanish()
            return False
        else:
            answer = self.ask("cni.add")  # once more: the same lease
            assert answer is None or answer["ips"][0]["address"].startswith(f"{self.address}/")
        return True

    def leave(self):
        """DEL; where no answer comes, nobody knows whether it was done, and it is asked again."""
        self.leaving = True
        if self.ask("cni.del") is None:
            return False
        self.attached, self.leaving, self.lives = False, False, self.lives + 1
        return True

    def vanish(self):
        """Ended by somebody else; the runtime never says so."""
        self.where.delete()
        self.attached, self.lives = False, self.lives + 1
        self.where = self.made()


@pytest.fixture
def sandboxes(stage):
    before = stage.fixed
    made = [Sandbox(stage, number) for number in range(SANDBOXES)]
    for each in made:
        metadata = {"namespace": "x", "name": f"sandbox{each.number}"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": HOST}}
        stage.fixed = {**stage.fixed, f"{metadata['name']}.json": json.dumps(pod).encode()}
    stage.write(stage.world)
    yield made
    for each in made:
        each.ask("cni.del")
        each.where.delete()
    stage.fixed = before
    stage.write(stage.world)


def test_nothing_leaks(stage, sandboxes):
    random = Random(5)
    requests = 0

    def live(sandbox, times):
        return sum(sandbox.act(random.random()) for _ in range(times))

    for _ in range(KILLS):
        with ThreadPoolExecutor(AT_ONCE) as threads:
            share = REQUESTS // KILLS // SANDBOXES + 1
            running = [threads.submit(live, each, share) for each in sandboxes]
            time.sleep(random.uniform(0, 0.8))
            stage.cluster.end(HOST)
            stage.cluster.revive(HOST, wait=False)
        requests += sum(each.result() for each in running)
        stage.await_agents()
    while requests < REQUESTS:
        requests += live(random.choice(sandboxes), 1)
    for each in sandboxes:  # an answer may have been lost with the agent
        if each.leaving or not each.attached:
            stage.eventually(each.leave)
    stage.cluster.end(HOST)
    stage.cluster.revive(HOST)
    stage.eventually(lambda: agrees(stage, sandboxes))
    stage.sound()
    print(f"{requests} requests, {KILLS} kills")


def agrees(stage, sandboxes):
    """Whether leases, interfaces, routes and rules are those of what lives."""
    host = stage.cluster.hosts[HOST]
    pods = [each.address for each in stage.world.pods]
    own = {str(each) for each in pods if stage.placement.host(each) == HOST}
    living = own | {each.address for each in sandboxes if each.attached}
    with suppress(ConformanceError):
        told = stage.cluster.ask(HOST, "endpoints")
        leases = Leases(host.directory / "state" / "leases.db")
        leased = {str(address) for lease in leases.all() for address in lease.addresses}
        leases.close()
        routes = json.loads(host.namespace.run("ip", "-j", "route", "show", "proto", "82"))
        routed = {each["dst"] for each in routes if each.get("dev", "").startswith("rom")}
        links = {each for each in host.namespace.links() if each.startswith("rom")}
        listed = host.namespace.run("nft", "list", "map", "inet", "romana", "ingress4")
        judged = {each for each in links if f'"{each}"' in listed}
        found = [leased, {each["addresses"][0] for each in told}, routed]
        names = {each["interface"] for each in told}
        return all(each == living for each in found) and links == judged == names
    return False
