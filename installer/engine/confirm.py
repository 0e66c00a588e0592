"""The last look of a run that changed something: a later role may have undone what an earlier one
did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from installer.engine.outcome import Failure, result, still
from installer.engine.parallel import over_hosts
from installer.engine.plan import Plan
from installer.engine.settling import settled
from installer.errors import HostError, Unreachable
from installer.events import Emit
from installer.hosts.session import Session


def confirm(
    plan: Plan, hosts: Sequence[str], sessions: Mapping[str, Session], emit: Emit
) -> list[Failure]:
    """Probes everything of the hosts once more; what differs has failed.

    Args:
        plan: as carried out.
        hosts: that were changed, without failure.
        sessions: by host name.
        emit: is told what differs.
    """

    def one(host: str) -> Failure | None:
        works = [work for work in plan.works if work.host == host]
        pairs = [(work, resource) for work in works for resource in work.resources]
        verdicts = settled(sessions[host], [resource for _, resource in pairs])
        failure = None
        for (work, resource), now in zip(pairs, verdicts, strict=True):
            if now.change is None and not now.error:
                continue
            differs = now.error or (still(now.change) if now.change else "")
            reason = f"differs again at the end of the run: {differs}"
            emit(result(work, resource, "failed", now.change, reason=reason))
            failure = failure or Failure(
                host=host, role=work.role, reason=f"{resource.id}: {reason}"
            )
        return failure

    found = []
    for host, outcome in zip(hosts, over_hosts(one, hosts), strict=True):
        if isinstance(outcome, HostError):
            gone = isinstance(outcome, Unreachable)
            outcome = Failure(
                host=host, role="verification", reason=outcome.message, unreachable=gone
            )
        if outcome is not None:
            found.append(outcome)
    return found
