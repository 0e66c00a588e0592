#!/usr/bin/python3 -IS
"""The executable `romana` that the container runtime calls: a thin client of the agent's socket.

It runs several times for every pod, so it starts fast: it imports four modules of the standard
library and nothing of Romana, and works as a single file under `python3 -IS`. All decisions are the
agent's; here are only the forms of the protocol, https://www.cni.dev/docs/spec/ (0.3.1, 0.4.0,
1.0.0, 1.1.0).
"""

from __future__ import annotations

import json
import os
import socket
import sys

TYPE_CHECKING = False  # as in typing, which is not imported: it would take longer than the rest
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
SOCKET = "/run/romana/agent.sock"
LIMIT_S = 90
"""The agent answers sooner, with its own reason; this is for one that hangs."""

INCOMPATIBLE_VERSION = 1
BAD_ENVIRONMENT = 4
BAD_INPUT = 6
BAD_CONFIG = 7
TRY_LATER = 11
NOT_AVAILABLE = 50

NEEDS = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "GC": (),
    "STATUS": (),
}


class CniError(Exception):
    """An error as CNI prints it: a code, a message, and what else there is to say."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


def config_from(text: str) -> Json:
    """The network configuration on standard input.

    Raises:
        CniError: it is not one.
    """
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CniError(BAD_INPUT, f"the network configuration is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CniError(BAD_INPUT, "the network configuration is not a JSON object")
    return config


def version_of(config: Json, command: str) -> str:
    """The version of the protocol to speak.

    Raises:
        CniError: it is not spoken here.
    """
    version = str(config.get("cniVersion", "0.3.1"))
    if version not in VERSIONS:
        spoken = ", ".join(VERSIONS)
        raise CniError(
            INCOMPATIBLE_VERSION, f"CNI version {version} is not spoken", f"spoken are {spoken}"
        )
    if command in ("GC", "STATUS") and version != VERSIONS[-1]:
        raise CniError(INCOMPATIBLE_VERSION, f"{command} needs CNI version 1.1.0, not {version}")
    if command == "CHECK" and version == VERSIONS[0]:
        raise CniError(INCOMPATIBLE_VERSION, f"CHECK needs CNI version 0.4.0, not {version}")
    return version


def parameters_of(command: str, config: Json, environment: dict[str, str]) -> Json:
    """What the agent is told.

    Raises:
        CniError: the runtime left something out.
    """
    missing = [name for name in NEEDS[command] if not environment.get(name)]
    if missing:
        raise CniError(BAD_ENVIRONMENT, f"{command} needs {', '.join(missing)}")
    pairs = (item.partition("=") for item in environment.get("CNI_ARGS", "").split(";") if item)
    arguments = {name: value for name, _, value in pairs}
    parameters: Json = {
        "container": environment.get("CNI_CONTAINERID", ""),
        "netns": environment.get("CNI_NETNS", ""),
        "ifname": environment.get("CNI_IFNAME", ""),
        "args": arguments,
    }
    asked = asked_addresses(config, arguments)
    if command == "ADD" and asked:
        parameters["ips"] = asked
    if command == "CHECK":
        parameters["previous"] = config.get("prevResult")
    if command == "GC":
        parameters["attachments"] = config.get("cni.dev/valid-attachments") or []
    return parameters


def asked_addresses(config: Json, arguments: dict[str, str]) -> list[str]:
    """The addresses that the runtime asks for, in whichever of the three customary ways: the
    capability `ips`, the same among `args`, or IP in CNI_ARGS. Prefix lengths are dropped.
    See https://www.cni.dev/docs/conventions/.

    Raises:
        CniError: the configuration is not in their form.
    """
    try:
        asked = (config.get("runtimeConfig") or {}).get("ips")
        asked = asked or ((config.get("args") or {}).get("cni") or {}).get("ips")
        return [
            str(text).partition("/")[0]
            for text in asked or arguments.get("IP", "").replace(",", " ").split()
        ]
    except (AttributeError, TypeError) as error:
        raise CniError(
            BAD_CONFIG, f"runtimeConfig or args are not as they should be: {error}"
        ) from error


def ask(path: str, method: str, parameters: Json) -> Json:
    """The agent's answer.

    Raises:
        CniError: the agent is not there, or says no.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(path)
            connection.sendall(
                json.dumps({"method": method, "params": parameters}).encode() + b"\n"
            )
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except OSError as error:
        message = f"the agent does not answer on {path}: {error}"
        hint = "see `systemctl status romana-agent` (upstart: `initctl status`)"
        raise CniError(TRY_LATER, message, hint) from error
    if not line.endswith(b"\n"):
        raise CniError(TRY_LATER, f"the agent on {path} stopped before it had answered")
    answer: Json = json.loads(line)
    if "error" in answer:
        fault: Json = answer["error"]
        raise CniError(fault["code"], fault["message"], fault.get("details", ""))
    result: Json = answer["result"]
    return result


def result_of(version: str, answer: Json, ifname: str, netns: str) -> Json:
    """The result of ADD in the form of a version of the protocol.

    Args:
        version: as in `cniVersion`.
        answer: the agent's: `interface`, `host_mac`, `mac`, `mtu`, and by address family `ips` and
        `routes`. ifname: the interface in the pod.
        netns: the path of the pod's network namespace.
    """
    inside = {"name": ifname, "mac": answer["mac"], "sandbox": netns}
    if version == VERSIONS[-1]:
        inside["mtu"] = answer["mtu"]
    ips = [
        {"address": ip["address"], "gateway": ip["gateway"], "interface": 1} for ip in answer["ips"]
    ]
    if version in ("0.3.1", "0.4.0"):
        for ip in ips:
            ip["version"] = "6" if ":" in ip["address"] else "4"
    return {
        "cniVersion": version,
        "interfaces": [{"name": answer["interface"], "mac": answer["host_mac"]}, inside],
        "ips": ips,
        "routes": answer["routes"],
        "dns": {},
    }


def run(command: str, config: Json, environment: dict[str, str]) -> Json | None:
    """Carry out a command, and return what is to be printed.

    Raises:
        CniError: it failed.
    """
    if command == "VERSION":
        return {
            "cniVersion": config.get("cniVersion", VERSIONS[-1]),
            "supportedVersions": list(VERSIONS),
        }
    if command not in NEEDS:
        raise CniError(BAD_ENVIRONMENT, f"CNI_COMMAND is `{command}`, which is not known")
    version = version_of(config, command)
    parameters = parameters_of(command, config, environment)
    path = config.get("socket", SOCKET)
    if not isinstance(path, str):
        raise CniError(BAD_CONFIG, "`socket` in the network configuration is not a path")
    try:
        answer = ask(path, f"cni.{command.lower()}", parameters)
    except CniError as error:
        if command == "STATUS" and error.code == TRY_LATER:
            error.code = NOT_AVAILABLE
        raise
    if command != "ADD":
        return None
    return result_of(version, answer, parameters["ifname"], parameters["netns"])


def main() -> int:
    """The executable: 0, or 1 with an error object on standard output."""
    config: Json = {}
    try:
        config = config_from(sys.stdin.read())
        result = run(os.environ.get("CNI_COMMAND", ""), config, dict(os.environ))
    except CniError as error:
        version = config.get("cniVersion")
        result = {
            "cniVersion": version if version in VERSIONS else VERSIONS[-1],
            "code": error.code,
            "msg": error.message,
            "details": error.details,
        }
        json.dump(result, sys.stdout)
        return 1
    if result is not None:
        json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
