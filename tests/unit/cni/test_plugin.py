"""The plugin as the runtime sees it: the real file, started bare, against an agent's socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import romana.cni.plugin as plugin

FILE = Path(plugin.__file__)
ANSWER = {
    "interface": "rom0123456789ab",
    "host_mac": "ee:ee:ee:ee:ee:ee",
    "mac": "02:00:00:00:00:01",
    "mtu": 1500,
    "ips": [
        {"address": "10.112.0.1/32", "gateway": "169.254.1.1"},
        {"address": "fd00::1/128", "gateway": "fe80::1"},
    ],
    "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}, {"dst": "::/0", "gw": "fe80::1"}],
}
POD = {
    "CNI_CONTAINERID": "abc",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_UID=u",
}


def run(command, config, **environment):
    """Start the plugin as containerd does; its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-IS", str(FILE)],
        input=config if isinstance(config, str) else json.dumps(config),
        env={"CNI_COMMAND": command, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout) if done.stdout else None


@contextmanager
def agent(path, answer):
    """Answers one request, and keeps it."""
    requests = []
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve():
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            requests.append(json.loads(stream.readline()))
            stream.write(
                answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n"
            )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield requests
    finally:
        thread.join(5)
        listening.close()


@pytest.mark.parametrize("version", plugin.VERSIONS)
def test_add_answers_in_the_form_of_the_version(tmp_path, version):
    config = {
        "cniVersion": version,
        "name": "romana",
        "type": "romana",
        "socket": str(tmp_path / "s"),
    }
    with agent(tmp_path / "s", {"result": ANSWER}) as requests:
        code, result = run("ADD", config, **POD)
    assert code == 0
    assert requests == [
        {
            "method": "cni.add",
            "params": {
                "container": "abc",
                "netns": "/run/netns/x",
                "ifname": "eth0",
                "args": {
                    "IgnoreUnknown": "1",
                    "K8S_POD_NAMESPACE": "n",
                    "K8S_POD_NAME": "p",
                    "K8S_POD_UID": "u",
                },
            },
        }
    ]
    assert result["cniVersion"] == version
    inside = {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/x"}
    assert result["interfaces"] == [
        {"name": "rom0123456789ab", "mac": "ee:ee:ee:ee:ee:ee"},
        {**inside, "mtu": 1500} if version == "1.1.0" else inside,
    ]
    assert [ip.get("version") for ip in result["ips"]] == (
        ["4", "6"] if version < "1" else [None, None]
    )
    assert result["ips"][0]["address"] == "10.112.0.1/32"
    assert result["ips"][0]["interface"] == 1
    assert result["routes"] == ANSWER["routes"]
    assert result["dns"] == {}


@pytest.mark.parametrize("command", ["DEL", "CHECK", "GC", "STATUS"])
def test_the_others_print_nothing_when_all_is_well(tmp_path, command):
    config = {
        "cniVersion": "1.1.0",
        "name": "romana",
        "socket": str(tmp_path / "s"),
        "prevResult": {"ips": []},
        "cni.dev/valid-attachments": [{"containerID": "abc", "ifname": "eth0"}],
    }
    with agent(tmp_path / "s", {"result": None}) as requests:
        assert run(command, config, **POD) == (0, None)
    assert requests[0]["method"] == f"cni.{command.lower()}"
    if command == "GC":
        assert requests[0]["params"]["attachments"] == [{"containerID": "abc", "ifname": "eth0"}]
    if command == "CHECK":
        assert requests[0]["params"]["previous"] == {"ips": []}


def test_version_needs_no_agent():
    code, result = run("VERSION", {"cniVersion": "0.4.0"})
    assert (code, result) == (
        0,
        {"cniVersion": "0.4.0", "supportedVersions": list(plugin.VERSIONS)},
    )


@pytest.mark.parametrize(
    ("command", "config", "environment", "code", "message"),
    [
        ("ADD", "{", POD, 6, "is not JSON"),
        ("ADD", "[]", POD, 6, "is not a JSON object"),
        ("ADD", {"cniVersion": "0.2.0"}, POD, 1, "CNI version 0.2.0 is not spoken"),
        ("ADD", {"cniVersion": "2.0.0"}, POD, 1, "CNI version 2.0.0 is not spoken"),
        ("GC", {"cniVersion": "1.0.0"}, {}, 1, "GC needs CNI version 1.1.0"),
        ("STATUS", {"cniVersion": "1.0.0"}, {}, 1, "STATUS needs CNI version 1.1.0"),
        ("CHECK", {"cniVersion": "0.3.1"}, POD, 1, "CHECK needs CNI version 0.4.0"),
        ("ADD", {"cniVersion": "1.0.0"}, {}, 4, "ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
        ("DEL", {"cniVersion": "1.0.0"}, {"CNI_IFNAME": "e"}, 4, "DEL needs CNI_CONTAINERID"),
        ("JUMP", {"cniVersion": "1.0.0"}, {}, 4, "`JUMP`, which is not known"),
        ("ADD", {"cniVersion": "1.0.0", "socket": 3}, POD, 7, "`socket`"),
        (
            "ADD",
            {"cniVersion": "1.0.0", "socket": "/nowhere/s"},
            POD,
            11,
            "does not answer on /nowhere/s",
        ),
        ("STATUS", {"cniVersion": "1.1.0", "socket": "/nowhere/s"}, {}, 50, "does not answer"),
    ],
)
def test_errors_are_objects_with_the_codes_of_the_specification(
    command, config, environment, code, message
):
    exit_code, result = run(command, config, **environment)
    assert exit_code == 1
    assert result["code"] == code
    assert message in result["msg"]
    assert result["cniVersion"] in plugin.VERSIONS


def test_the_agents_refusal_is_passed_on(tmp_path):
    fault = {"error": {"code": 11, "message": "not yet", "details": "wait"}}
    with agent(tmp_path / "s", fault):
        code, result = run("ADD", {"cniVersion": "1.0.0", "socket": str(tmp_path / "s")}, **POD)
    assert (code, result["code"], result["msg"], result["details"]) == (1, 11, "not yet", "wait")


def test_an_agent_that_dies_while_it_answers_is_try_again(tmp_path):
    with agent(tmp_path / "s", b'{"resu'):
        code, result = run("ADD", {"cniVersion": "1.0.0", "socket": str(tmp_path / "s")}, **POD)
    assert (code, result["code"]) == (1, 11)


def test_only_four_modules_are_imported():
    words = [
        line.split()[1] for line in FILE.read_text().splitlines() if line.startswith("import ")
    ]
    assert words == ["json", "os", "socket", "sys"]


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        ({"runtimeConfig": {"ips": ["10.112.0.9/12", "fd00::9/64"]}}, ""),
        ({"args": {"cni": {"ips": ["10.112.0.9", "fd00::9"]}}}, ""),
        ({"runtimeConfig": None}, ";IP=10.112.0.9,fd00::9"),
    ],
)
def test_an_address_may_be_asked_for(tmp_path, config, arguments):
    config = {**config, "cniVersion": "1.0.0", "socket": str(tmp_path / "s")}
    environment = {**POD, "CNI_ARGS": POD["CNI_ARGS"] + arguments}
    with agent(tmp_path / "s", {"result": ANSWER}) as requests:
        assert run("ADD", config, **environment)[0] == 0
    assert requests[0]["params"]["ips"] == ["10.112.0.9", "fd00::9"]


def test_nonsense_is_not_asked_for():
    code, result = run("ADD", {"cniVersion": "1.0.0", "runtimeConfig": {"ips": 5}}, **POD)
    assert (code, result["code"]) == (1, plugin.BAD_CONFIG)
