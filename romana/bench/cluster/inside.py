"""The bench's own programs in its pods, through `kubectl exec`.

They are those of the node's Romana, with the interpreter that it brings: a pod sees the file system
of its node, and the program moves there (chroot) but stays in the pod's network. So no image has to
be made for the bench, and client and server are the same on every machine.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from romana.bench.cluster.node import NUMBERS, NodeTold, Question
from romana.bench.cluster.objects import ROOT
from romana.bench.errors import BenchError
from romana.bench.traffic.processes import Traffic, ask, begun, process
from romana.bench.traffic.wire import Server
from romana.bench.workload import CLIENT, SERVER, Allowed

PROGRAM = "/opt/romana/current/bin/romana"


@dataclass(frozen=True, slots=True)
class Node:
    """A node that answers questions."""

    name: str
    _process: subprocess.Popen[bytes]

    def ask(self, question: Question) -> NodeTold:
        """Ask it.

        Raises:
            BenchError: it does not answer, or its agent does not.
        """
        try:
            told = ask(self._process, question, NodeTold)
        except BenchError as error:
            raise BenchError(
                f"{self.name}: {PROGRAM} cannot be run there by `kubectl exec`: is it a node of a "
                "cluster with this version of Romana? See the lines above"
            ) from error
        if told.failure:
            raise BenchError(f"{self.name}: {told.failure}")
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What runs in the pods.

    Args:
        traffic: client and server.
        client: the node of the client's pod.
        server: the node of the server's.
        addresses: of the two pods.
    """

    traffic: Traffic
    client: Node
    server: Node
    addresses: tuple[str, str]

    def denied(self, what: tuple[Allowed, ...]) -> frozenset[Allowed]:
        """Which of these flows from client to server the server's agent denies, by what is in its
        kernel."""
        flows = tuple((*self.addresses, NUMBERS[each.protocol], each.port) for each in what)
        return frozenset(what[number] for number in self.server.ask(Question(flows)).denied)


@contextmanager
def inside(
    kubeconfig: Path, namespace: str, nodes: tuple[str, str], addresses: list[str], wish: Server
) -> Iterator[Inside]:
    """Everything in the pods, for as long as the block.

    Args:
        kubeconfig: of the cluster.
        namespace: of the pods.
        nodes: that they are on: the client's and the server's.
        addresses: of the pods.
        wish: what is served.

    Raises:
        BenchError: it cannot be started.
    """
    words = (kubectl(), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", "exec", "-i")
    run = ("--", "chroot", ROOT, PROGRAM, "bench", "inside")
    with ExitStack() as stack:
        at = [
            Node(name, stack.enter_context(process((*words, pod, *run, "node"))))
            for pod, name in zip((CLIENT, SERVER), nodes, strict=True)
        ]
        for each in at:  # that this works at all is told by name of the node
            each.ask(Question())
        client, server = (
            stack.enter_context(process((*words, pod, *run, role)))
            for pod, role in ((CLIENT, "client"), (SERVER, "server"))
        )
        yield Inside(
            traffic=begun(client, server, wish),
            client=at[0],
            server=at[1],
            addresses=(addresses[0], addresses[1]),
        )


def kubectl() -> str:
    """The program.

    Raises:
        BenchError: there is none.
    """
    found = shutil.which("kubectl")
    if found is None:
        raise BenchError(
            "kubectl is not on the PATH: with --cluster, client and server are run through it"
        )
    return found
