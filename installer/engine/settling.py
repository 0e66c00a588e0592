"""A second look at what was changed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from installer.engine.plan import Verdict, judge, probe
from installer.engine.script import repairs
from installer.hosts.session import Session
from installer.resources import Condition
from installer.resources.base import Resource


def settled(session: Session, resources: Sequence[Resource]) -> list[Verdict]:
    """Verdicts on all, once conditions that a restart has upset had their time to hold again: a
    node is not Ready for a moment after its runtime was restarted, though it was at the plan's
    look."""
    verdicts = _look(session, resources)
    waits = [
        verdict.change
        for verdict in verdicts
        if verdict.change is not None and isinstance(verdict.resource, Condition)
    ]
    if not waits:
        return verdicts
    session.run(
        repairs(waits, f"romana-{secrets.token_hex(8)}"),
        timeout_s=sum(change.timeout_s for change in waits),
    )
    return _look(session, resources)


def _look(session: Session, resources: Sequence[Resource]) -> list[Verdict]:
    seen = probe(session, resources)
    return [judge(resource, seen[number], set()) for number, resource in enumerate(resources)]
