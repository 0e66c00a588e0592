"""How long a cluster's certificates live, as the end of every run tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from installer.engine.plan import Plan
from installer.pki import WARN_BELOW, Expiry
from installer.resources import Certificate


def held(kept: Sequence[Expiry], made: Sequence[Expiry], *, done: bool) -> Sequence[Expiry]:
    """What hosts hold at the end of a run: what it was to lay down if it is done, else what the
    last one has laid down.

    Args:
        kept: by the state directory, before the run renewed anything.
        made: what the run is to lay down.
        done: whether it has.
    """
    return made if done or not kept else kept


def end(expiries: Sequence[Expiry]) -> str:
    """When the first ends, for programs: ISO 8601, UTC."""
    return expiries[0].ends.isoformat() if expiries else ""


def summary(expiries: Sequence[Expiry], now: float) -> str:
    """One line: for how long all of them are valid, and which ends first.

    Args:
        expiries: the soonest first; at least one.
        now: seconds since 1970.
    """
    first, days = expiries[0], _days(expiries[0], now)
    valid = f"valid for {days} days" if days >= 0 else "not valid any more"
    return f"certificates are {valid} (first {_name(first)}, {first.ends:%Y-%m-%d})"


def warnings(expiries: Sequence[Expiry], now: float) -> Iterator[str]:
    """A line for all that end soon, and what to do about them. A leaf that ends so soon was left
    behind by runs that did not reach its host, or was cut short by its authority."""
    soon = [each for each in expiries if _days(each, now) < WARN_BELOW.days]
    authorities = [each for each in soon if each.name.endswith("authority")]
    for each in authorities:
        yield f"the {_name(each)} {_when(each, now)}: romana-install rotate-ca makes another"
    leaves = [each for each in soon if each not in authorities]
    if leaves:
        count = f", and {len(leaves) - 1} more soon" if len(leaves) > 1 else ""
        text = f"certificate {_name(leaves[0])} {_when(leaves[0], now)}{count}"
        yield text if authorities else f"{text}: a run of all hosts renews them"


def renewals(plan: Plan) -> str:
    """What a plan says of certificates, in one line; empty where it touches none."""
    changed = [
        work.host
        for work in plan.works
        for resource, change in work.changes
        if isinstance(resource, Certificate) and change.files
    ]
    if not changed:
        return ""
    hosts = dict.fromkeys(changed)
    where = ", ".join(hosts) if len(hosts) < 4 else f"{len(hosts)} hosts"
    return f"certificates to lay down anew: {len(changed)} on {where}"


def _days(expiry: Expiry, now: float) -> int:
    """Whole days until it ends; negative once it has."""
    return (expiry.ends - datetime.fromtimestamp(now, timezone.utc)).days


def _when(expiry: Expiry, now: float) -> str:
    days = _days(expiry, now)
    return f"ends in {days} days" if days >= 0 else f"has ended on {expiry.ends:%Y-%m-%d}"


def _name(expiry: Expiry) -> str:
    return f"{expiry.name} on {expiry.host}" if expiry.host else expiry.name
