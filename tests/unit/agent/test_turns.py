"""Many together, or one alone."""

from __future__ import annotations

import asyncio

from romana.agent.turns import Turns


async def test_together_and_alone():
    turns, inside, seen = Turns(), set(), []

    async def work(name, entry):
        async with entry():
            inside.add(name)
            seen.append(frozenset(inside))
            await asyncio.sleep(0.01)
            inside.discard(name)

    async def later(pause_s, name, entry):
        await asyncio.sleep(pause_s)
        await work(name, entry)

    await asyncio.gather(
        work("a", turns.together),
        work("b", turns.together),
        later(0.002, "X", turns.alone),
        later(0.004, "c", turns.together),  # comes later than X, so goes after it
        later(0.004, "Y", turns.alone),
    )
    assert seen[:2] == [{"a"}, {"a", "b"}]
    assert seen[2] == {"X"}
    assert all(len(each) == 1 for each in seen[2:])


async def test_one_that_gives_up_waiting_holds_nobody_up():
    turns = Turns()
    async with turns.together():
        waiting = asyncio.create_task(turns.alone().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with turns.together(), turns.together():
        pass
    async with turns.alone():
        pass
