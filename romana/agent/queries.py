"""What the `romana` command asks: plain values, made to be printed as they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from romana.agent.answers import denied_of, ordered, route_values
from romana.agent.blocks import Blocks
from romana.agent.config import Config
from romana.agent.denial_log import DeniedConnections
from romana.agent.errors import BAD_REQUEST, NOT_FOUND, TRY_LATER, RequestError
from romana.agent.kernel import Kernel
from romana.agent.reconciler import NotEnforced, Reconciler
from romana.agent.store import Store
from romana.agent.verification import Verification
from romana.dataplane.errors import DataplaneError
from romana.dataplane.foreign import ForeignChain, foreign_chains
from romana.ipam.leases import Leases
from romana.policy.admission import EndpointPrograms, Flow, Program
from romana.policy.judge import Judge
from romana.policy.model import RomanaPolicy
from romana.version import VERSION

Values = dict[str, Any]

log = logging.getLogger(__name__)


class Queries:
    """Answers from what is in force, not from what has arrived since."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        leases: Leases,
        blocks: Blocks,
        kernel: Kernel,
        reconciler: Reconciler,
        verification: Verification,
        denied: DeniedConnections,
    ) -> None:
        self._config = config
        self._store = store
        self._leases = leases
        self._blocks = blocks
        self._kernel = kernel
        self._reconciler = reconciler
        self._verification = verification
        self._denied = denied
        self._began = time.monotonic()

    async def status(self, _: Mapping[str, Any]) -> Values:
        """The agent as a whole."""
        admission = self._reconciler.admission
        others = await self._others()
        return {
            "version": VERSION,
            "node": self._config.name,
            "source": self._config.source,
            "uptime_s": round(time.monotonic() - self._began),
            "synced": self._store.synced,
            "enforced": self._reconciler.enforced_once and not self._reconciler.trouble,
            "failure": self._reconciler.trouble,
            "revision": self._reconciler.revision,
            "objects": self._store.counts(),
            "endpoints": len(admission.endpoints),
            "programs": len(admission.programs),
            "grants": sum(len(each.grants) for each in admission.programs.values()),
            "blocks": [str(block) for block in self._blocks.own()],
            "free_addresses": {
                f"IPv{version}": self._leases.free_count(self._blocks.own(), version)
                for version in self._blocks.versions
            },
            "backend": self._kernel.enforcement.title,
            "backend_why": self._kernel.enforcement.why,
            "repairs": self._kernel.repairs.as_json(),
            "verified": self._verification.last.as_json() if self._verification.last else None,
            "denied_log": self._denied.state(),
            "policies_refused": [str(error) for error in self._store.refused_policies],
            "others": [each.as_json() for each in others],
            "problems": [
                *(str(problem) for problem in self._store.problems),
                *(each.problem for each in others if each.problem),
                *filter(None, (self._denied.problem,)),
            ],
        }

    async def _others(self) -> tuple[ForeignChain, ...]:
        """Others' chains that judge pods' packets too."""
        try:
            return await foreign_chains()
        except DataplaneError as error:
            log.warning("no look at others' tables", extra={"reason": str(error)})
            return ()

    async def enforced(self, parameters: Mapping[str, Any]) -> Values:
        """Answers when what is known now is in force, or with `revision`, when that state of the
        source is.

        Raises:
            RequestError: it is not.
        """
        revision = parameters.get("revision")
        try:
            if revision is None:
                await self._reconciler.enforced()
            else:
                await self._reconciler.reached(str(revision))
        except NotEnforced as error:
            raise RequestError(TRY_LATER, str(error)) from error
        return {"revision": self._reconciler.revision}

    async def judge(self, parameters: Mapping[str, Any]) -> list[Values]:
        """What the compiled form in force says of flows: `flows` holds source, destination, number
        of the protocol and port of each.

        Raises:
            RequestError: one cannot be read.
        """
        snapshot = self._reconciler.snapshot
        node = snapshot.nodes.get(("", self._config.name))
        judge = Judge(self._reconciler.admission, node.addresses if node else ())
        try:
            flows = [
                Flow(
                    source=ip_address(source),
                    destination=ip_address(destination),
                    protocol=int(protocol),
                    port=int(port),
                )
                for source, destination, protocol, port in parameters["flows"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            wanted = "each of `flows` is [source, destination, protocol, port]"
            raise RequestError(BAD_REQUEST, f"judge: {error}", wanted) from error
        verdicts = [judge.verdict(flow) for flow in flows]
        return [
            {"egress": each.egress.outcome.value, "ingress": each.ingress.outcome.value}
            for each in verdicts
        ]

    async def policies(self, parameters: Mapping[str, Any]) -> list[Values]:
        """Romana policies in force, with the local pods that each isolates; one by `name`, all its
        forms. Those that say nothing, for want of their namespace's annotation, say so (`idle`).

        Raises:
            RequestError: there is none of that name.
        """
        from romana.policy.explanation import IDLE
        from romana.policy.translate import translate_all, translate_idle

        snapshot = self._reconciler.snapshot
        wanted = parameters.get("name")
        local = [
            pod
            for endpoint in self._reconciler.admission.endpoints.values()
            if (pod := snapshot.pods.get(endpoint.endpoint.pod)) is not None
        ]
        found = [
            {
                **policy.as_json(),
                "pods_here": sorted(
                    {
                        "/".join(pod.key)
                        for pod in local
                        if policy.applies_to(pod, snapshot.namespaces)
                    }
                ),
            }
            for policy in translate_all(snapshot)
            if _is_meant(policy, wanted)
        ]
        found += [
            {**policy.as_json(), "pods_here": [], "idle": IDLE}
            for policy in translate_idle(snapshot)
            if _is_meant(policy, wanted)
        ]
        if wanted and not found:
            advice = "`romana policy list` shows all"
            raise RequestError(NOT_FOUND, f"there is no policy `{wanted}`", advice)
        return found

    async def endpoints(self, _: Mapping[str, Any]) -> list[Values]:
        """This host's pods: interface, addresses, by which policies they are isolated, and how many
        packets these have denied; None where the kernel does not tell."""
        admission = self._reconciler.admission
        try:
            denied = await self._kernel.denied()
        except DataplaneError as error:
            log.warning("denied packets are not known", extra={"reason": str(error)})
            denied = None
        return [
            {
                "pod": "/".join(each.endpoint.pod),
                "interface": name,
                "addresses": [str(address) for address in each.endpoint.addresses],
                "ingress": _judged(admission.programs, each, each.ingress),
                "egress": _judged(admission.programs, each, each.egress),
                "denied_packets": None if denied is None else denied_of(denied, name),
            }
            for name, each in sorted(
                admission.endpoints.items(), key=lambda item: item[1].endpoint.pod
            )
        ]

    async def routes(self, _: Mapping[str, Any]) -> list[Values]:
        """The routes of this host that are Romana's."""
        return [route_values(each) for each in ordered(await self._kernel.routes())]

    async def blocks(self, _: Mapping[str, Any]) -> list[Values]:
        """All address blocks, and how many addresses of this host's are free."""
        own = set(self._blocks.own())
        return [
            {
                "block": str(block.cidr),
                "node": block.node,
                "here": block.cidr in own,
                "free": self._leases.free_count([block.cidr], block.cidr.version)
                if block.cidr in own
                else None,
            }
            for block in sorted(
                self._store.blocks(),
                key=lambda each: (each.cidr.version, int(each.cidr.network_address)),
            )
        ]


def _is_meant(policy: RomanaPolicy, name: object) -> bool:
    """Whether an operator may call a policy so; None is any."""
    origin = policy.origin
    return name in (None, policy.name, "/".join(filter(None, origin.key)), origin.name)


def _judged(
    programs: Mapping[str, Program], endpoint: EndpointPrograms, name: str | None
) -> Values | None:
    """The program of one direction: None where nothing isolates the pod."""
    if name is None:
        return None
    program = programs[name]
    return {
        "program": name,
        "policies": ["/".join(filter(None, key)) for key in program.policies],
        "grants": len(program.grants),
    }
