"""Two hosts with real agents, six pods between which packets run all the time, and a cluster state
that changes by chance.

A state of the cluster is one file, replaced by a rename: an agent sees the one or the other. Some
pairs are pinned: they are open in every state, or closed by the same side in every state; so
whatever else changes, their packets are bound at every moment.
"""

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import Random

import msgspec
from dataplanes import DATAPLANES
from links import PORT as LINKED
from links import Links

from romana.conformance.cases import ConformanceError, PodState
from romana.conformance.chance import labels
from romana.conformance.cluster import Cluster, host_addresses
from romana.conformance.directory import ManifestDirectory
from romana.conformance.manifests import cluster_manifests, step_manifests
from romana.conformance.placement import place
from romana.conformance.prober import Prober
from romana.conformance.run import as_expected
from romana.conformance.timeline import Fault, Timeline, tally, told
from romana.conformance.worlds import NAMESPACES, Shape, Worlds, judged, snapshot, step_of
from romana.dataplane import Settings
from romana.dataplane.backends import choose
from romana.lab.datagrams import FRESH, HOME, KEPT, OPENING, Datagrams
from romana.lab.namespaces import Lab
from romana.objects import Protocol
from romana.policy.admission import Endpoint
from romana.policy.compile import compile_admission

PREFIX = "rt-faults"
PODS, VISITORS = 6, 6
FORGETTING = (
    "nft flush ruleset",
    "iptables-legacy -t mangle -F",
    "ip6tables-legacy -t mangle -F",
    "ipset flush",
    "conntrack -F",
    "ip route flush proto 82",
    "ip -6 route flush proto 82",
    "sysctl -qw net.ipv4.ip_forward=0",
    "sysctl -qw net.ipv6.conf.all.forwarding=0",
)
LINKS = 2
MOMENT_S = 0.01
"""Packets that were sent within so much may be under way at once."""
PORTS = [
    *((Protocol.UDP, port) for port in (FRESH, KEPT, HOME)),
    *((Protocol.TCP, port) for port in (OPENING, LINKED)),
]
NETFILTER = (
    "net.netfilter.nf_conntrack_udp_timeout=2",
    "net.netfilter.nf_conntrack_tcp_timeout_close=1",
)


class Stage:
    """The cluster, its states so far, and what runs between its pods.

    `pinned` are the pairs that no change of the world touches.
    """

    def __init__(self, lab, work, seed, *, backend, family, environment):
        self.random = Random(seed)
        shape = Shape(pods=PODS, policies=8, changes=2, family=family)
        self.worlds = Worlds(self.random, shape)
        self.lab, self.work, self.backend, self.family = lab, work, backend, family
        self.addresses = self._addresses()
        names = ("host1", "host2")
        self.placement = place(self.addresses, names)
        nodes = host_addresses(names)
        manifests = work / "manifests"
        manifests.mkdir()
        self.directory = ManifestDirectory(manifests)
        self.fixed = cluster_manifests(self.placement, nodes)
        self.settings = Settings(
            pod_networks=tuple(self.placement.blocks),
            direct_networks=tuple(ip_network(each) for both in nodes.values() for each in both),
        )
        self.cluster = Cluster(
            lab,
            self.placement,
            nodes,
            manifests=manifests,
            work=work,
            backend=backend,
            environment=environment,
        )
        self.datagrams, self.prober, self.links = Datagrams(), Prober(), Links()
        self.timeline, self.faults = Timeline({KEPT: HOME}), []
        self.visitors, self.visits = {}, 0
        self.revisions, self.acknowledged, self.since = {}, dict.fromkeys(names, -1), 0
        self.states, self.pinned, self.changes = [], {}, 0
        self._turn, self._chosen = threading.RLock(), {}

    def _addresses(self):
        """The world's, and behind them those of visitors."""
        last = max(self.worlds.addresses[:2])
        first = min(self.worlds.addresses[:2])
        room = [start + 40 + number for start in (first, last) for number in range(VISITORS)]
        return (*self.worlds.addresses, *room)

    def start(self):
        """Start hosts and pods, and the datagrams."""
        self.world = self.worlds.first()
        while not self._pin():
            self.world = self.worlds.after(self.worlds.first())
        self.write(self.world)
        self.cluster.start()
        for host in self.cluster.hosts.values():
            host.namespace.run("sysctl", "-qw", *NETFILTER)
        made = self.attach(self.world.pods)
        self.settle()
        homes = {each.title: each.address for each in self.world.pods}
        for source, destination, port in self.pinned:
            if port == LINKED and self.pinned[source, destination, port].admitted:
                self.links.add(source, made[source], destination, made[destination], homes)
        self.datagrams.__enter__()
        self.links.__enter__()

    def attach(self, pods):
        """Attach pods, and let packets run between them and all others."""
        made = self.cluster.attach(pods)
        for pod in pods:
            self.prober.add(pod.title, made[pod.title], pod.address)
            self.datagrams.add(pod.title, made[pod.title], pod.address)
        return made

    def _pin(self):
        """Choose pairs: open ones, closed ones, and connections that are closed both ways."""
        sides = self.sides(self.world)
        own = [pair for pair in sides if pair[0] != pair[1]]
        opened = [pair for pair in own if sides[pair].admitted]
        closed = [pair for pair in own if not sides[pair].admitted]
        both = [
            (pair, back)
            for pair in closed
            if pair[2] == KEPT and (back := (pair[1], pair[0], HOME)) in closed
        ]
        lasting = [pair for pair in opened if pair[2] == LINKED]
        enough = len(opened) >= 6 and len(closed) >= 6 and len(both) >= 4 and len(lasting) >= LINKS
        if len(self.world.pods) < PODS or not enough:
            return False
        chosen = [*self.random.sample(opened, 4), *self.random.sample(closed, 4)]
        chosen += [pair for each in self.random.sample(both, 4) for pair in each]
        chosen += self.random.sample(lasting, LINKS)
        self.pinned = {pair: sides[pair] for pair in chosen}
        return True

    def manifests(self, world):
        """All manifests of a state."""
        step = step_of(world, self.worlds.placement)
        pods = (*step.pods, *self.visitors.values())
        return {**self.fixed, **step_manifests(replace(step, pods=pods), self.placement)}

    def sides(self, world):
        """What must hold for each pair of pods, visitors included."""
        pods = (*world.pods, *self.visitors.values())
        verdicts = judged(snapshot(self.manifests(world)), pods, PORTS)
        return {
            (cell.source, cell.destination, cell.port): sides for cell, sides in verdicts.items()
        }

    def write(self, world):
        """Make a world the wanted state."""
        with self._turn:
            manifests, sides = self.manifests(world), self.sides(world)
            items = [msgspec.Raw(each) for each in manifests.values()]
            content = msgspec.json.encode({"kind": "List", "items": items})
            state = self.timeline.write(time.time(), sides)
            self.revision = self.directory.apply({"state.json": content})
            self.revisions[self.revision] = len(self.states)
            self.states.append(state)
            self.world, self.changes = world, self.changes + 1

    def change(self):
        """Change the world by chance, but for the pinned pairs."""
        with self._turn:
            while True:
                other = self.worlds.after(self.world)
                if {each.identity for each in other.pods} == {
                    each.identity for each in self.world.pods
                } and self._keeps(other):
                    break
            self.write(other)

    def _keeps(self, world):
        sides = self.sides(world)
        return all(
            sides[pair].admitted == was.admitted
            and (was.admitted or (sides[pair].ingress, sides[pair].egress) == tuple(was))
            for pair, was in self.pinned.items()
        )

    def announce(self):
        """Make a further pod known, with labels and an address by chance; none is in use twice."""
        with self._turn:
            used = {pod.address for pod in self.visitors.values()}
            free = [each for each in self.addresses[PODS:] if each not in used]
            self.visits += 1
            pod = PodState(
                namespace=self.random.choice(NAMESPACES),
                name=f"visitor{self.visits}",
                labels=labels(self.random),
                address=self.random.choice(free),
            )
            self.visitors[pod.title] = pod
            self.write(self.world)
            return pod

    @contextmanager
    def visiting(self, pod):
        """Attach a pod for as long as the block. Its datagrams run from before it has an interface:
        those that must not pass are bound all the time, the others while it is attached."""
        where = self.lab.namespace(pod.name)
        began = time.time()
        self.datagrams.add(pod.title, where, pod.address)
        self._runtime("cni.add", pod, where)
        self.faults.append(Fault(since=began, until=time.time(), loses=True, pod=pod.title))
        try:
            yield
        finally:
            began = time.time()
            self._runtime("cni.del", pod, where)
            self.datagrams.remove(pod.title)
            where.delete()
            self.faults.append(Fault(since=began, until=time.time(), loses=True, pod=pod.title))
            with self._turn:
                del self.visitors[pod.title]
                self.write(self.world)

    def _runtime(self, method, pod, where, limit_s=60):
        """What a runtime asks, again and again until an agent is there to do it."""
        name = self.placement.host(pod.address)
        arguments = {"K8S_POD_NAMESPACE": pod.namespace, "K8S_POD_NAME": pod.name}
        parameters = {"container": where.name, "ifname": "eth0", "netns": str(where.path)}
        parameters |= {"args": arguments, "ips": [str(pod.address)]}
        end = time.monotonic() + limit_s
        while True:
            try:
                return self.cluster.ask(name, method, **parameters)
            except (ConformanceError, OSError):
                assert time.monotonic() < end
                time.sleep(0.02)

    def look(self):
        """Ask the agents how far they are; those that do not answer are where they were."""
        for name in self.acknowledged:
            with suppress(ConformanceError, OSError):
                revision = self.cluster.ask(name, "status")["revision"]
                number = self.revisions.get(revision, -1)
                self.acknowledged[name] = max(self.acknowledged[name], number)
        everywhere, now = min(self.acknowledged.values()), time.time()
        for state in self.states[: everywhere + 1]:
            if state.enforced is None:
                self.timeline.enforce(state, now)

    def await_agents(self, limit_s=60):
        """Wait until every agent answers."""
        end = time.monotonic() + limit_s
        for name in self.cluster.hosts:
            while True:
                with suppress(ConformanceError, OSError):
                    self.cluster.ask(name, "enforced")
                    break
                assert self.cluster.hosts[name].process.poll() is None, "the agent has ended"
                assert time.monotonic() < end, "the agent does not answer"
                time.sleep(0.02)

    def settle(self):
        """Wait until the last state is in force."""
        with self._turn:
            self.cluster.enforced(self.revision)
            self.look()
            assert self.states[-1].enforced

    def sound(self):
        """Wait until all is in force; then see that the kernel holds what is wanted and nothing
        else, and does it."""
        with self._turn:
            self.settle()
            objects = snapshot(self.manifests(self.world))
            for name in self.cluster.hosts:
                found = self.drift(name, objects)
                assert not found, f"{name}: {'; '.join(map(str, found))}"
            step = step_of(self.world, self.worlds.placement)
            expected = dict(step.judged())
            admitted = [cell for cell, sides in expected.items() if sides.admitted]
            outcomes = self.prober.probe(expected, admitted)
            wrong = {
                cell: outcomes[cell]
                for cell, sides in expected.items()
                if not as_expected(sides, outcomes[cell])
            }
            assert wrong == {}
            self.await_cut()

    def await_cut(self, limit_s=20):
        """Wait until no connection passes that the last state closes."""
        end = time.monotonic() + limit_s
        while True:
            since = self.datagrams.count
            time.sleep(0.2)
            alive = [
                packet
                for packet in self.datagrams.packets(since)
                if packet.arrived and self.timeline.closed_now(packet[:3])
            ]
            if not alive:
                return
            assert time.monotonic() < end, "\n".join(told(alive[:10]))

    def drift(self, name, objects=None):
        """What a host's kernel holds otherwise than wanted, of what packets meet."""
        objects = objects or snapshot(self.manifests(self.world))
        endpoints = [
            Endpoint(
                interface=each["interface"],
                addresses=tuple(ip_address(text) for text in each["addresses"]),
                pod=tuple(each["pod"].split("/")),
            )
            for each in self.cluster.ask(name, "endpoints")
        ]
        admission = compile_admission(objects, endpoints)
        return self.cluster.hosts[name].namespace.inside(
            lambda: asyncio.run(self._drift(name, admission))
        )

    async def _drift(self, name, admission):
        if (name, self.backend) not in self._chosen:
            chosen = await choose(self.backend)
            chosen.renderer.settings = self.settings
            self._chosen[name, self.backend] = chosen
        chosen = self._chosen[name, self.backend]
        found = await chosen.backend.drift(chosen.renderer.render(admission))
        # Sets that no rule looks up any more go with the agent's next change.
        return tuple(each for each in found if not re.fullmatch("set .*: foreign", str(each)))

    def reboot(self, name):
        """What becomes of a host in a reboot: its pods end, its kernel forgets, its agent starts
        from the disk, and the runtime makes the pods again, as soon as that lets it. Their packets
        run from before they have an interface."""
        began = time.time()
        pods = [pod for pod in self.world.pods if self.placement.host(pod.address) == name]
        self.cluster.end(name)
        for pod in pods:
            self.datagrams.remove(pod.title)
            self.prober.remove(pod.title)
            self.links.remove(pod.title)
        self.cluster.vanish(pod.title for pod in pods)
        for words in FORGETTING:
            self.cluster.hosts[name].namespace.run(*words.split())
        made = self.cluster.prepare(pods)
        for pod in pods:
            self.prober.add(pod.title, made[pod.title], pod.address)
            self.datagrams.add(pod.title, made[pod.title], pod.address)
        self.cluster.revive(name, wait=False)
        self.eventually(lambda: self._attached(pods))
        self.await_packets(2)
        until = time.time()
        self.faults += [Fault(since=began, until=until, loses=True, pod=pod.title) for pod in pods]

    def _attached(self, pods):
        with suppress(ConformanceError):  # there is no agent yet that would do it
            self.cluster.attach(pods)
            return True
        return False

    @property
    def dataplane(self):
        """What the tests know of the backend."""
        return DATAPLANES[self.backend]

    def switch(self, backend, names=None):
        """Tell running agents to use another backend, and wait until they do, and nothing is left
        of the other one."""
        for name in names or self.cluster.hosts:
            self.cluster.configure(name, backend=backend)
        self.backend = backend
        wanted = DATAPLANES[backend].words
        for name in names or self.cluster.hosts:
            self.eventually(
                lambda name=name: (
                    set(wanted) <= set(re.split(r"[ ()]+", self.told(name)))
                    and self.present(name) == {backend}
                )
            )

    def told(self, name):
        """What a host's agent says of its backend."""
        with suppress(ConformanceError, OSError):
            return self.cluster.ask(name, "status")["backend"]
        return ""

    def present(self, name):
        """The backends that have something of ours in a host's kernel."""
        host = self.cluster.hosts[name].namespace
        return {name for name, each in DATAPLANES.items() if each.present(host)}

    def visit(self, _, stop):
        """Let pods come and go, whatever becomes of the agents."""
        while not stop.is_set():
            with self.visiting(self.announce()):
                stop.wait(0.2)

    @contextmanager
    def churning(self, *others):
        """Change the world all the time, and do others' work beside; an error of a thread is the
        test's.

        Args:
            others: called with the stage and an event that ends them.
        """
        stop = threading.Event()
        with ThreadPoolExecutor(1 + len(others)) as threads:
            running = [threads.submit(each, self, stop) for each in (_churn, *others)]
            try:
                yield
            finally:
                stop.set()
        for each in running:
            each.result()

    def await_packets(self, rounds):
        """Wait for so many rounds of datagrams."""
        wanted = self.datagrams.rounds + rounds
        self.eventually(lambda: self.datagrams.rounds >= wanted)

    @staticmethod
    def eventually(condition, limit_s=60, pause_s=0.005):
        """Wait for a condition."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, f"not within {limit_s} s"
            time.sleep(pause_s)

    def repaired(self, name, repairs):
        """Whether a host has repaired more than so much, and nothing is left to be."""
        told = self.cluster.ask(name, "status")["repairs"]["policy"]
        return told > repairs and self.drift(name) == ()

    def judge(self, switches=0):
        """Judge all packets since the last call: nothing may be wrong that no fault explains.

        Args:
            switches: how often a whole table may have been replaced by another: first packets that
                the old rules are judging at that moment find their maps empty, or no connection
                tracking, and are lost. So much is explained by that, and nothing else is; and never
                is a packet lost of a connection that is known.
        """
        time.sleep(0.3)  # the last packets are on their way
        packets = self.datagrams.packets(self.since)
        self.since += len(packets)
        found = tally(self.timeline, packets, self.faults)
        new = (FRESH, OPENING)
        firsts = [each for each in found.wrong if each.arrived is None and each.port in new]
        switched = [each for burst in bursts(firsts)[:switches] for each in burst]
        print(f"{found.admitted} packets had to pass, {found.denied} must not,")
        print(f"{found.explained} explained by faults, {len(switched)} lost in {switches} switches")
        assert not self.links.late()
        wrong = [each for each in found.wrong if each not in switched]
        shown = "\n".join([*told(wrong[:20]), *(self._around(each) for each in wrong[:3])])
        assert not wrong, f"{len(wrong)} packets of {len(packets)}:\n{shown}"
        return found

    def _around(self, packet):
        """The states that may have been in force about a packet's time, each with when it was
        written and in force, counted from then, and what its sides say."""
        lines = [f"{packet.source} to {packet.destination} {packet.port}:"]
        for state in self.timeline.possible(packet.sent - 1, packet.sent + 1):
            enforced = "" if state.enforced is None else round(state.enforced - packet.sent, 4)
            sides = state.sides.get((packet.source, packet.destination, packet.port))
            lines.append(f"  {round(state.written - packet.sent, 4)} to {enforced}: {sides}")
        return "\n".join(lines)

    def close(self):
        """End all of it; the lab's owner removes the rest."""
        self.links.__exit__(None, None, None)
        self.datagrams.__exit__(None, None, None)
        self.prober.close()
        self.cluster.stop()


def bursts(packets):
    """Packets, those together that were sent within a moment."""
    found = []
    for each in sorted(packets, key=lambda each: each.sent):
        if not found or each.sent - found[-1][0].sent > MOMENT_S:
            found.append([])
        found[-1].append(each)
    return found


def _churn(stage, stop, every_s=0.05):
    while not stop.wait(every_s):
        stage.change()
        stage.look()


@contextmanager
def staged_at(work, seed, *, backend="nftables", family=4, environment=None):
    """A stage for the time of a block."""
    with Lab(PREFIX) as lab:
        stage = Stage(
            lab, Path(work), seed, backend=backend, family=family, environment=environment or {}
        )
        try:
            stage.start()
            yield stage
        finally:
            stage.close()
