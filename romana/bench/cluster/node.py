"""`romana bench inside node`, on a node: tells the bench of its machine and of its agent."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import msgspec

from romana.agent.client import ask
from romana.agent.errors import AgentError
from romana.bench.measurement import processor_time
from romana.bench.results import Machine, machine
from romana.bench.traffic.server import tell

SOCKET = Path("/run/romana/agent.sock")
DENIED = "denied"
TCP, UDP = 6, 17
NUMBERS = {"TCP": TCP, "UDP": UDP}


class Question(msgspec.Struct, frozen=True):
    """To a node.

    Args:
        flows: source, destination, number of the protocol and port of each, for its agent to judge.
        prove: whether the agent shall prove that the kernel enforces its policies.
        introduce: whether to tell what does not change.
    """

    flows: tuple[tuple[str, str, int, int], ...] = ()
    prove: bool = False
    introduce: bool = False


class NodeTold(msgspec.Struct, frozen=True):
    """A node's answer.

    Args:
        denied: the flows that what is in force denies, by their place in the question.
        idle: ticks of all processors.
        ticks: likewise, in all.
        backend: of the agent.
        machine: what it is.
        failure: why there is no answer, or what the agent's proof has found.
    """

    denied: tuple[int, ...] = ()
    idle: int = 0
    ticks: int = 0
    backend: str = ""
    machine: Machine | None = None
    failure: str = ""


def answer(question: Question) -> NodeTold:
    """What there is to say."""
    idle, ticks = processor_time()
    try:
        judged = ask(SOCKET, "judge", flows=question.flows) if question.flows else []
        proof = ask(SOCKET, "verify") if question.prove else {"equal": True}
        backend = ask(SOCKET, "status")["backend"] if question.introduce else ""
    except AgentError as error:
        return NodeTold(failure=str(error))
    return NodeTold(
        denied=tuple(n for n, each in enumerate(judged) if DENIED in each.values()),
        idle=idle,
        ticks=ticks,
        backend=str(backend),
        machine=machine() if question.introduce else None,
        failure="" if proof["equal"] else str(proof["text"]),
    )


def main() -> int:
    """Answer until the bench goes away."""
    gc.disable()
    while line := sys.stdin.buffer.readline():
        tell(answer(msgspec.json.decode(line, type=Question)))
    return 0
