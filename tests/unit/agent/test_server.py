"""The agent's socket, and the command that talks to it."""

from __future__ import annotations

import asyncio
import json
import socket
import stat

import pytest
from click.testing import CliRunner

from romana.agent.errors import RequestError
from romana.agent.server import Server
from romana.cli import main


async def echo(parameters):
    return parameters


async def refuse(_):
    raise RequestError(11, "not yet", "wait")


async def fail(_):
    raise ZeroDivisionError("oops")


METHODS = {"echo": echo, "refuse": refuse, "fail": fail}


async def exchange(path, *lines):
    reader, writer = await asyncio.open_unix_connection(path)
    answers = []
    for line in lines:
        writer.write(line + b"\n")
        answers.append(json.loads(await reader.readline()))
    writer.close()
    return answers


async def test_one_line_each_way(tmp_path):
    path = tmp_path / "run" / "agent.sock"
    server = Server(path, METHODS)
    await server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    good, refused, failed, unknown, garbage = await exchange(
        path,
        b'{"method": "echo", "params": {"a": 1}}',
        b'{"method": "refuse"}',
        b'{"method": "fail"}',
        b'{"method": "jump"}',
        b"garbage",
    )
    assert good == {"result": {"a": 1}}
    assert refused == {"error": {"code": 11, "message": "not yet", "details": "wait"}}
    assert failed["error"]["message"] == "fail failed: ZeroDivisionError: oops"
    assert "no method `jump`" in unknown["error"]["message"]
    assert "cannot be read" in garbage["error"]["message"]
    await server.stop()
    assert not path.exists()


async def test_the_socket_of_a_killed_agent_is_replaced(tmp_path):
    path = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    server = Server(path, METHODS)
    await server.start()
    assert await exchange(path, b'{"method": "echo"}') == [{"result": {}}]
    await server.stop()


STATUS = {
    "version": "1",
    "node": "one",
    "source": "kubernetes",
    "uptime_s": 5,
    "synced": True,
    "enforced": True,
    "failure": "",
    "objects": {"Pod": 3},
    "endpoints": 2,
    "programs": 1,
    "grants": 4,
    "blocks": ["10.0.0.0/25"],
    "free_addresses": {"IPv4": 12},
    "backend": "nftables",
    "repairs": {"policy": 0, "route": 0, "last": "", "traffic": []},
    "verified": None,
    "denied_log": {"text": "logged, of shop (by the configuration)"},
    "policies_refused": ["RomanaPolicy p: spec.ingress[0].peers: names nobody"],
    "others": [{"table": "ip filter", "chain": "FORWARD", "priority": 0, "policy": "drop"}],
    "problems": ["a watch is broken"],
}
POLICY = {
    "name": "kube.n.p.ingress",
    "direction": "ingress",
    "applied_to": [],
    "ingress": [{"peers": [], "rules": []}],
    "origin": {},
    "pods_here": ["n/a"],
}
ENDPOINT = {
    "pod": "n/a",
    "interface": "rom1",
    "addresses": ["10.0.0.1"],
    "ingress": {"program": "x", "policies": ["n/p"], "grants": 1},
    "egress": None,
    "denied_packets": {"ingress": 4711, "egress": 0},
}
ROUTE = {"to": "10.0.1.0/25", "via": "198.18.0.2", "interface": None, "kind": "unicast"}
BLOCK = {"block": "10.0.0.0/25", "node": "one", "here": True, "free": 12}
LOGGED = {"on": False, "problem": "", "text": "not logged (by the configuration)"}
EXPLAINED = {"admitted": True, "lines": ["egress of n/a: admitted", "the connection is admitted"]}


@pytest.mark.parametrize(
    ("words", "answer", "shown"),
    [
        (["status"], STATUS, "12 IPv4"),
        (["status"], STATUS, "ip filter, chain FORWARD: policy drop"),
        (["status"], STATUS, "RomanaPolicy p: spec.ingress[0].peers: names nobody"),
        (["status"], STATUS, "logged, of shop (by"),
        (["log", "denied"], LOGGED, "denied connections: not logged (by the configuration)"),
        (["log", "denied", "on", "--namespace", "shop"], LOGGED, "denied connections: "),
        (["policy", "list"], [POLICY], "kube.n.p.ingress"),
        (["policy", "show", "n/p"], [POLICY], "pods_here: [n/a]"),
        (["endpoint", "list"], [ENDPOINT], "n/p"),
        (["endpoint", "list"], [ENDPOINT], "4711"),
        (["endpoint", "list"], [{**ENDPOINT, "denied_packets": None}], "?"),
        (["route", "list"], [ROUTE], "198.18.0.2"),
        (["block", "list"], [BLOCK], "10.0.0.0/25"),
        (
            ["explain", "--from", "n/a", "--to", "10.0.0.2", "--port", "80"],
            EXPLAINED,
            "is admitted",
        ),
    ],
)
async def test_commands_print_tables_and_json(tmp_path, words, answer, shown):
    asked = []

    async def reply(parameters):
        asked.append(parameters)
        return answer

    methods = ("status", "policies", "endpoints", "routes", "blocks", "explain", "log.denied")
    server = Server(tmp_path / "s", dict.fromkeys(methods, reply))
    await server.start()
    run = CliRunner().invoke
    plain = await asyncio.to_thread(run, main, [*words, "--socket", str(tmp_path / "s")])
    data = await asyncio.to_thread(run, main, [*words, "--json", "--socket", str(tmp_path / "s")])
    assert (plain.exit_code, data.exit_code) == (0, 0), plain.output
    assert shown in plain.output
    assert json.loads(data.stdout) == answer
    await server.stop()


def test_without_an_agent_there_is_one_clear_line(tmp_path):
    result = CliRunner().invoke(main, ["status", "--socket", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "the agent is not running on" in result.output


@pytest.mark.parametrize("words", [[], ["policy"], ["status"], ["explain"], ["endpoint", "list"]])
def test_help_is_there_everywhere(words):
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
