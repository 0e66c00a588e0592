"""What pods and policies change, written directly, is what nft would have made of the table."""

import asyncio
import random
from ipaddress import ip_address

import pytest

from romana.dataplane import (
    NETFILTER,
    Backend,
    Listener,
    NetlinkError,
    Renderer,
    RulesetChanged,
    Settings,
)
from romana.dataplane import backend as backend_module
from romana.dataplane.commands import run
from romana.dataplane.direct import orders
from romana.dataplane.requests import Netfilter
from romana.dataplane.ruleset import edits
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

KINDS = ((0, 0, 65535), (6, 0, 65535), (17, 53, 53), (132, 80, 90), (6, 1, 65534))


def anchors():
    """Grants that keep every kind of set in place."""
    for family, base in ((4, int(ip_address("10.0.0.0"))), (6, 0xFD << 120)):
        for at, traffic in enumerate(KINDS):
            yield Grant(family, base + at * 256, base + at * 256, *traffic)
            yield Grant(family, base + at * 256 + 2, base + at * 256 + 9, *traffic)


def random_grants(chance):
    for family, base in ((4, int(ip_address("10.9.0.0"))), (6, (0xFD << 120) + 2**90)):
        for at in chance.sample(range(40), 20):
            low = base + at * 64 + chance.randrange(30)
            high = low + chance.choice((0, 0, 1, 30))
            yield Grant(family, low, high, *chance.choice(KINDS))


def random_admission(chance):
    programs = {
        direction.value: Program(
            name=direction.value,
            direction=direction,
            policies=(),
            grants=frozenset((*anchors(), *random_grants(chance))),
        )
        for direction in Direction
    }
    endpoints = {}
    for number in chance.sample(range(12), 6):
        interface = f"rom{number:012x}"
        endpoint = Endpoint(
            interface=interface,
            addresses=(ip_address(f"10.112.0.{number}"), ip_address(f"fd00:112::{number}")),
            pod=("test", str(number)),
        )
        endpoints[interface] = EndpointPrograms(
            endpoint=endpoint,
            ingress=chance.choice((None, "ingress")),
            egress=chance.choice((None, "egress")),
        )
    return Admission(endpoints=endpoints, programs=programs)


def random_programs(chance):
    """Programs that come and go, with any kinds of sets."""
    found = list(random_admission(chance).endpoints.values())
    programs = {}
    for number in chance.sample(range(6), 4):
        grants = [*anchors(), *random_grants(chance)]
        direction = chance.choice(tuple(Direction))
        name = f"{direction.value}-{number}"
        programs[name] = Program(
            name=name,
            direction=direction,
            policies=(),
            grants=frozenset(chance.sample(grants, chance.randrange(12))),
        )
    names = {
        direction: [None, *(n for n, each in programs.items() if each.direction is direction)]
        for direction in Direction
    }
    endpoints = {
        each.endpoint.interface: EndpointPrograms(
            endpoint=each.endpoint,
            ingress=chance.choice(names[Direction.INGRESS]),
            egress=chance.choice(names[Direction.EGRESS]),
        )
        for each in found
    }
    return Admission(endpoints=endpoints, programs=programs)


async def listed():
    return await run("nft", "-n", "list", "table", "inet", "romana")


async def words():
    """All of the listing, whatever the order of elements."""
    return sorted((await listed()).replace(",", " ").split())


async def by_way_of_nft(first, then):
    await run("nft", "-f", "-", text=backend_module.replacement(first))
    await run("nft", "-f", "-", text=backend_module.difference(first, then))
    return await words()


@pytest.fixture
def no_nft(monkeypatch):
    """nft may not change anything."""

    async def refuse(self, *_):
        raise AssertionError("nft was used")

    return lambda: monkeypatch.setattr(Backend, "_commit", refuse)


@pytest.mark.parametrize("make", [random_admission, random_programs])
def test_what_is_written_directly_is_what_nft_writes(host, no_nft, make):
    async def check():
        chance, renderer, backend = random.Random(5), Renderer(Settings()), Backend()
        tables = [renderer.render(make(chance)) for _ in range(12)]
        printed = [await by_way_of_nft(*pair) for pair in zip(tables, tables[1:], strict=False)]
        await backend.replace(tables[0])
        no_nft()
        for table, wanted in zip(tables[1:], printed, strict=True):
            assert await backend.apply(table)
            assert await words() == wanted
            assert await backend.drift(table) == ()
        assert not await backend.apply(tables[-1])

    host.do(check())


def test_many_elements_go_in_one_transaction_that_is_known_as_own(host, no_nft):
    many = [Grant(4, at, at, 6, 80, 80) for at in range(2**24, 2**24 + 5000)]

    def table(grants):
        one = Program(name="p", direction=Direction.INGRESS, policies=(), grants=frozenset(grants))
        return Renderer(Settings()).render(Admission(programs={"p": one}))

    async def check():
        backend = Backend()
        await backend.replace(table(many[:1]))
        no_nft()
        listener = Listener(NETFILTER)
        await backend.apply(table(many))
        await backend.apply(table(many[1:2]))
        assert await backend.drift(table(many[1:2])) == ()
        told = [each for each in listener.receive() if isinstance(each, RulesetChanged)]
        listener.close()
        assert len(told) == 2
        assert all(backend.own(each) for each in told)

    host.do(check())


def test_a_refused_change_changes_nothing_and_the_table_is_replaced(host):
    async def check():
        chance, renderer, backend = random.Random(7), Renderer(Settings()), Backend()
        first, second = (renderer.render(random_admission(chance)) for _ in range(2))
        await backend.replace(first)
        name, lost = next(
            (each.name, element)
            for each in edits(first, second)
            if "hosts4" in each.name
            for element in each.deleted
        )
        await run("nft", "delete", "element", "inet", "romana", name, f"{{ {lost} }}")
        assert await backend.apply(second)
        assert await backend.drift(second) == ()

    host.do(check())


def test_a_batch_is_all_or_nothing_and_of_the_right_generation(host):
    async def check():
        chance, renderer, backend = random.Random(9), Renderer(Settings()), Backend()
        first, second = (renderer.render(random_admission(chance)) for _ in range(2))
        await backend.replace(first)
        before = await listed()
        wrong = orders(first, second) * 2  # deletes twice what is there once
        for wanted, generation, number in (
            (wrong, None, 2),
            (orders(first, second), bytes(3) + b"\x01", 85),
        ):
            with Netfilter() as kernel:
                known = generation or await backend._generation()
                with pytest.raises(NetlinkError) as refusal:
                    await kernel.commit(10, known, wanted, "change elements")
            assert refusal.value.number == number
            assert await listed() == before

    host.do(check())


def test_what_somebody_else_commits_meanwhile_is_waited_for(host, no_nft):
    async def check():
        chance, renderer, backend = random.Random(11), Renderer(Settings()), Backend()
        tables = [renderer.render(random_admission(chance)) for _ in range(10)]
        await backend.replace(tables[0])
        no_nft()
        stop = asyncio.Event()

        async def others():
            while not stop.is_set():
                await run("nft", "-f", "-", text="add table ip foreign\ndelete table ip foreign\n")

        beside = asyncio.create_task(others())
        for table in tables[1:]:
            await backend.apply(table)
        stop.set()
        await beside
        assert await backend.drift(tables[-1]) == ()

    host.do(check())
