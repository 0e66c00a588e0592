"""Log lines, word to systemd, one agent at a time, parts run together, health over HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket

import aiohttp
import pytest

from romana.agent.errors import AgentError, ConfigError
from romana.agent.http import HealthServer
from romana.agent.logs import KeyValueFormatter
from romana.agent.metrics import Metrics
from romana.agent.notify import notify
from romana.agent.process import only_one, run_until


def test_a_log_line_is_a_sentence_and_what_it_is_about():
    record = logging.makeLogRecord(
        {"levelname": "INFO", "msg": "attached", "pod": "n/p", "reason": "two words", "empty": ""}
    )
    assert (
        KeyValueFormatter().format(record)
        == 'INFO    attached  pod=n/p reason="two words" empty=""'
    )


@pytest.mark.parametrize("abstract", [True, False])
def test_systemd_is_told(tmp_path, monkeypatch, abstract):
    path = f"@romana-test-{tmp_path.name}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + path[1:] if abstract else path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


def test_only_one_agent_has_the_state(tmp_path):
    descriptor = only_one(tmp_path / "lock")
    assert descriptor > 0
    with pytest.raises(AgentError, match="another agent is running"):
        only_one(tmp_path / "lock")


async def test_parts_run_until_told_and_one_that_fails_fails_all():
    stop, done = asyncio.Event(), []

    async def short():
        done.append("short")

    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            done.append("cancelled")

    async def broken():
        await asyncio.sleep(0.01)
        raise AgentError("broken")

    asyncio.get_running_loop().call_later(0.05, stop.set)
    await run_until(stop, short(), long())
    assert done == ["short", "cancelled"]
    with pytest.raises(AgentError, match="broken"):
        await run_until(asyncio.Event(), long(), broken())
    assert done == ["short", "cancelled", "cancelled"]


async def test_health_and_metrics():
    reasons = {"healthz": "", "readyz": "not yet\n"}
    refreshed = []

    async def refresh():
        refreshed.append(True)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = HealthServer(
        f"127.0.0.1:{port}",
        Metrics(),
        refresh=refresh,
        unhealthy=lambda: reasons["healthz"],
        unready=lambda: reasons["readyz"],
    )
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for path, status, text in (("healthz", 200, "ok\n"), ("readyz", 503, "not yet\n")):
            async with session.get(f"/{path}") as answer:
                assert (answer.status, await answer.text()) == (status, text)
        async with session.get("/metrics") as answer:
            text = await answer.text()
    await server.stop()
    assert refreshed
    assert "romana_reconcile_seconds_bucket" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("address", ["9607", "host:port", "on"])
def test_an_address_for_metrics_must_be_one(address):
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        HealthServer(address, Metrics(), refresh=None, unhealthy=str, unready=str)


async def test_a_part_that_loses_one_cancellation_ends_all_the_same():
    """As `asyncio.wait_for` before Python 3.12 does where a result comes at the same moment."""
    stop, lost = asyncio.Event(), []

    async def deaf():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(True)

    asyncio.get_running_loop().call_later(0.05, stop.set)
    await asyncio.wait_for(run_until(stop, deaf()), 10)
    assert lost
