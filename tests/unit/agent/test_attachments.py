"""Attaching pods, without a kernel: order, failures, waiting, claiming, what a kill leaves."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from romana.agent.attachments import Attachments, interface_name
from romana.agent.blocks import Blocks
from romana.agent.errors import RequestError
from romana.agent.metrics import Metrics
from romana.agent.reconciler import Reconciler
from romana.agent.store import Store
from romana.dataplane.errors import DataplaneError
from romana.dataplane.links import PodLink
from romana.ipam.layout import Layout
from romana.ipam.leases import Attachment, Leases
from romana.objects import AddressBlock, Pod
from romana.sources.kinds import BLOCK, KINDS, POD

PARAMETERS = {
    "container": "c1",
    "ifname": "eth0",
    "netns": "/run/netns/x",
    "args": {"K8S_POD_NAMESPACE": "n", "K8S_POD_NAME": "p"},
}
ATTACHMENT = Attachment(container="c1", ifname="eth0")
INTERFACE = interface_name(ATTACHMENT)


class FakeKernel:
    """A kernel that remembers: interfaces, and in which order it was called."""

    def __init__(self):
        self.calls, self.interfaces, self.netns = [], {}, {"/run/netns/x"}
        self.refuse_policy = self.refuse_link = False

    async def enforce(self, snapshot, endpoints, admission, *, audit):
        await asyncio.sleep(0)
        if self.refuse_policy:
            raise DataplaneError("nftables says no")
        self.calls.append(("enforce", tuple(sorted(admission.endpoints))))
        return True

    async def attach(self, lease, name):
        if self.refuse_link:
            raise DataplaneError("no such namespace")
        self.calls.append(("attach", lease.interface))
        self.interfaces[lease.interface] = lease.addresses
        return PodLink(
            interface=lease.interface, netns=lease.netns, name=name, addresses=lease.addresses
        )

    async def detach(self, interface):
        self.calls.append(("detach", interface))
        self.interfaces.pop(interface, None)

    async def verify(self, lease, name, netns):
        if lease.interface not in self.interfaces:
            raise DataplaneError("it does not exist")

    async def strangers(self, known):
        known = set(known)
        return {name: each for name, each in self.interfaces.items() if name not in known}

    def has_interface(self, name):
        return name in self.interfaces

    def has_netns(self, path):
        return path in self.netns


class FakeClaimer:
    """Lets every claim succeed but those of blocks that somebody else was faster with."""

    def __init__(self, store):
        self.taken, self.claims = set(), []

    async def claim(self, block):
        await asyncio.sleep(0)
        self.claims.append(block.cidr)
        return block.cidr not in self.taken


class World:
    def __init__(self, *, node="one", boot="b1", leases=None, kernel=None):
        self.store = Store()
        self.leases = leases or Leases(":memory:")
        self.kernel = kernel or FakeKernel()
        self.claimer = FakeClaimer(self.store)
        self.blocks = Blocks(
            node=node,
            zone="default",
            layout=Layout(cidrs=(ip_network("10.0.0.0/26"),), block_size=29),
            store=self.store,
            claimer=self.claimer,
        )
        self.reconciler = Reconciler(
            store=self.store, leases=self.leases, kernel=self.kernel, metrics=Metrics()
        )
        self.attachments = Attachments(
            store=self.store,
            leases=self.leases,
            blocks=self.blocks,
            kernel=self.kernel,
            reconciler=self.reconciler,
            boot=boot,
        )

    def sync(self, *pods):
        for kind in KINDS:
            self.store.replace(kind, list(pods) if kind is POD else [], [])

    async def __aenter__(self):
        self.task = asyncio.create_task(self.reconciler.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.leases.close()


async def test_answered_only_when_interface_and_policy_are_in_the_kernel():
    async with World() as world:
        world.sync(Pod("n", "p"))
        answer = await world.attachments.add(PARAMETERS)
        assert answer["interface"] == INTERFACE
        assert len(INTERFACE) == 15
        attach = world.kernel.calls.index(("attach", INTERFACE))
        assert ("enforce", (INTERFACE,)) in world.kernel.calls[attach:]
        assert world.leases.find(ATTACHMENT).pod == ("n", "p")


async def test_no_interface_before_rules_are_in_force():
    """As after a boot: the kernel has none yet, and would judge nothing."""
    world = World()
    world.sync(Pod("n", "p"))
    adding = asyncio.create_task(world.attachments.add(PARAMETERS))
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.kernel.calls == []
    async with world:
        await adding
        assert [what for what, _ in world.kernel.calls[:2]] == ["enforce", "attach"]


async def test_not_before_everything_was_read():
    async with World() as world:
        with pytest.raises(RequestError, match="has not read every Namespace") as caught:
            await world.attachments.add(PARAMETERS)
        assert caught.value.code == 11


async def test_waits_for_the_pod_and_for_the_right_one(monkeypatch):
    monkeypatch.setattr("romana.agent.attachments.POD_WAIT_S", 0.2)
    parameters = {**PARAMETERS, "args": {**PARAMETERS["args"], "K8S_POD_UID": "new"}}
    async with World() as world:
        world.sync(Pod("n", "p", uid="old"))
        adding = asyncio.create_task(world.attachments.add(parameters))
        await asyncio.sleep(0.05)
        assert world.kernel.interfaces == {}
        world.store.put(POD, Pod("n", "p", uid="new"))
        assert (await adding)["interface"] == INTERFACE
        world.store.remove(POD, ("n", "p"))
        for known, words in ((None, "not known"), (Pod("n", "p", uid="old"), "with another uid")):
            if known:
                world.store.put(POD, known)
            with pytest.raises(RequestError, match=words) as caught:
                await world.attachments.add({**parameters, "container": "c2"})
            assert caught.value.code == 11


@pytest.mark.parametrize("what", ["refuse_policy", "refuse_link"])
async def test_a_failure_leaves_nothing(what):
    async with World() as world:
        world.sync(Pod("n", "p"))
        await world.reconciler.enforced()
        setattr(world.kernel, what, True)
        with pytest.raises(RequestError, match="pod n/p cannot be attached: n") as caught:
            await world.attachments.add(PARAMETERS)
        assert caught.value.code == 11
        assert world.leases.all() == ()
        assert world.kernel.interfaces == {}


async def test_a_failing_kernel_is_told_and_tried_again():
    async with World() as world:
        world.kernel.refuse_policy = True
        world.sync(Pod("n", "p"))
        while not world.reconciler.failure:
            await asyncio.sleep(0.01)
        with pytest.raises(RequestError, match="policies cannot be enforced: nftables says no"):
            await world.attachments.add(PARAMETERS)
        world.kernel.refuse_policy = False
        while world.reconciler.failure:
            await asyncio.sleep(0.01)
        assert (await world.attachments.add(PARAMETERS))["interface"] == INTERFACE


async def test_cancelled_while_attaching_leaves_nothing():
    async with World() as world:
        world.sync(Pod("n", "p"))
        await world.reconciler.enforced()
        world.task.cancel()  # nobody reconciles: the attachment waits
        adding = asyncio.create_task(world.attachments.add(PARAMETERS))
        while not world.kernel.interfaces:
            await asyncio.sleep(0.01)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert world.leases.all() == ()
        assert world.kernel.interfaces == {}


async def test_a_delete_during_an_add_comes_after_it():
    async with World() as world:
        world.sync()
        adding = asyncio.create_task(world.attachments.add(PARAMETERS))
        await asyncio.sleep(0.01)
        deleting = asyncio.create_task(world.attachments.delete(PARAMETERS))
        await asyncio.sleep(0.01)
        assert not deleting.done()
        world.store.put(POD, Pod("n", "p"))
        await asyncio.gather(adding, deleting)
        assert world.leases.all() == ()
        assert world.kernel.interfaces == {}


async def test_delete_is_idempotent_and_needs_no_pod():
    async with World() as world:
        world.sync(Pod("n", "p"))
        await world.attachments.add(PARAMETERS)
        world.store.remove(POD, ("n", "p"))
        await world.attachments.delete(PARAMETERS)
        await world.attachments.delete(PARAMETERS)
        assert world.leases.all() == ()


async def test_a_further_block_is_claimed_when_the_first_is_full():
    pods = [Pod("n", f"p{index}") for index in range(8)]
    async with World() as world:
        world.sync(*pods)
        await asyncio.gather(
            *(
                world.attachments.add(
                    {
                        **PARAMETERS,
                        "container": pod.name,
                        "args": {"K8S_POD_NAMESPACE": "n", "K8S_POD_NAME": pod.name},
                    }
                )
                for pod in pods
            )
        )
        own = world.blocks.own()
        assert len(own) == 2 == len(world.claimer.claims)
        held = [address for lease in world.leases.all() for address in lease.addresses]
        assert len(set(held)) == 8
        assert all(any(address in block for block in own) for address in held)


async def test_a_block_that_somebody_else_was_faster_with_is_passed_over():
    async with World() as world:
        world.sync()
        first = next(world.blocks._layout.candidates("default", "one", 4, ()))
        world.claimer.taken.add(first)
        claimed = await world.blocks.claim(4, ())
        assert claimed != first
        assert world.claimer.claims == [first, claimed]


async def test_a_full_zone_is_told():
    async with World() as world:
        world.sync()
        taken = [
            AddressBlock(block, "two") for block in ip_network("10.0.0.0/26").subnets(new_prefix=29)
        ]
        world.store.replace(BLOCK, taken, [])
        with pytest.raises(RequestError, match="zone default has no free IPv4 block") as caught:
            await world.blocks.claim(4, ())
        assert caught.value.code == 102


async def test_check_says_what_is_wrong():
    async with World() as world:
        world.sync(Pod("n", "p"))
        with pytest.raises(RequestError) as caught:
            await world.attachments.check(PARAMETERS)
        assert caught.value.code == 3
        await world.attachments.add(PARAMETERS)
        await world.attachments.check(PARAMETERS)
        world.kernel.interfaces.clear()
        with pytest.raises(RequestError, match="does not exist") as caught:
            await world.attachments.check(PARAMETERS)
        assert caught.value.code == 101


async def test_collection_keeps_what_the_runtime_has():
    async with World() as world:
        world.sync(Pod("n", "p"))
        for container in ("c1", "c2", "c3"):
            await world.attachments.add({**PARAMETERS, "container": container})
        await world.attachments.collect({"attachments": [{"containerID": "c2", "ifname": "eth0"}]})
        assert [lease.attachment.container for lease in world.leases.all()] == ["c2"]


@pytest.mark.parametrize("boot", ["b1", "b2"])
async def test_after_a_reboot_nothing_old_holds_an_address(boot, tmp_path):
    async with World(leases=Leases(tmp_path / "l.db")) as world:
        world.sync(Pod("n", "p"))
        await world.attachments.add(PARAMETERS)
    kernel = FakeKernel()
    kernel.netns = {"/run/netns/x"} if boot == "b2" else set()
    async with World(leases=Leases(tmp_path / "l.db"), kernel=kernel, boot=boot) as world:
        world.sync()
        await world.attachments.sweep()
        assert world.leases.all() == ()


async def test_interfaces_whose_leases_were_lost_keep_their_addresses_closed():
    async with World() as world:
        world.sync(Pod("n", "p"))
        world.kernel.interfaces["rom0"] = (ip_address("10.0.0.1"),)
        world.store.put(BLOCK, AddressBlock(ip_network("10.0.0.0/29"), "one"))
        await world.attachments.sweep()
        await world.reconciler.enforced()
        (judged,) = world.reconciler.admission.endpoints.values()
        assert judged.ingress == "closed-ingress"
        await world.attachments.add(PARAMETERS)
        assert world.leases.find(ATTACHMENT).addresses == (ip_address("10.0.0.2"),)
        del world.kernel.interfaces["rom0"]
        await world.attachments.sweep()
        assert [lease.attachment for lease in world.leases.all()] == [ATTACHMENT]


@pytest.mark.parametrize("missing", ["container", "ifname", "netns", "args"])
async def test_what_the_runtime_leaves_out_is_told(missing):
    async with World() as world:
        world.sync(Pod("n", "p"))
        with pytest.raises(RequestError) as caught:
            await world.attachments.add({**PARAMETERS, missing: None})
        assert caught.value.code == 7
