"""Snapshots that controllers keep by themselves: a script, and what runs it every so often."""

from __future__ import annotations

from collections.abc import Iterator

from installer.pki import ADOPTABLE
from installer.resources import Absent, Condition, Directory, File, Resource
from installer.roles.pki import ENCRYPTION, PKI
from installer.roles.rendering import render
from installer.roles.role import Target

STORE = "/var/lib/romana/snapshots"
SCRIPT = "/usr/local/sbin/romana-snapshot"
LEAST = 3
"""How many are kept whatever their age."""
_UNITS = "/etc/systemd/system"
_TIMER = "romana-snapshot.timer"
_CRON = "/etc/cron.d/romana-snapshot"
PARTS = (STORE, SCRIPT, _CRON, f"{_UNITS}/romana-snapshot.service", f"{_UNITS}/{_TIMER}")
"""All that lies on a controller on their account."""
_SPREAD = 10
"""Controllers take theirs within a tenth of the span, not all at the same moment."""


def snapshots(target: Target) -> Iterator[Resource]:
    """The script, its timer, and a first snapshot, so that what keeps it from being taken is told
    at once."""
    if not target.cluster.snapshots.every_s:
        yield from _never(target)
        return
    yield Directory(STORE, mode=0o700)
    script = File(SCRIPT, _script(target), mode=0o755)
    yield script
    yield from _systemd(target) if target.facts.init == "systemd" else _cron(target)
    yield Condition(
        "etcd has a snapshot",
        holds=f"ls {STORE}/romana-backup-*.tar.gz",
        repair=SCRIPT,
        evidence=f"cat {STORE}/failed 2>/dev/null || :",
    )


def _script(target: Target) -> str:
    cluster = target.cluster
    return render(
        "snapshots/snapshot.sh",
        store=STORE,
        pki=PKI,
        encryption=ENCRYPTION,
        secrets=" ".join(ADOPTABLE),
        cluster=cluster.name,
        platform=cluster.platform,
        kubernetes=target.artifacts.kubernetes,
        least=LEAST,
        keep_minutes=cluster.snapshots.keep_s // 60,
    )


def _systemd(target: Target) -> Iterator[Resource]:
    every = target.cluster.snapshots.every_s
    service = render("snapshots/romana-snapshot.service", script=SCRIPT)
    timer = render(f"snapshots/{_TIMER}", every_s=every, spread_s=every // _SPREAD)
    yield File(f"{_UNITS}/romana-snapshot.service", service)
    yield File(f"{_UNITS}/{_TIMER}", timer)
    ask = f"systemctl show -p NeedDaemonReload -p ActiveState -p UnitFileState {_TIMER}"
    yield Condition(
        "snapshots are scheduled",
        holds=f"[ \"$({ask} | sort | tr '\\n' ' ')\" = "
        "'ActiveState=active NeedDaemonReload=no UnitFileState=enabled ' ]",
        repair=f"systemctl daemon-reload\nsystemctl enable --quiet {_TIMER}\n"
        f"systemctl restart {_TIMER}",
        evidence=f"systemctl status --no-pager {_TIMER} || :",
    )


def _cron(target: Target) -> Iterator[Resource]:
    when = crontab(target.cluster.snapshots.every_s)
    yield File(_CRON, render("snapshots/cron", when=when, script=SCRIPT))


def crontab(every_s: int) -> str:
    """When cron has to act, to do it at least as often; cron knows no other spans than these."""
    minutes = max(1, every_s // 60)
    if minutes < 60:
        step = next(each for each in (30, 20, 15, 10, 6, 5, 4, 3, 2, 1) if each <= minutes)
        return f"*/{step} * * * *"
    hours = minutes // 60
    if hours < 24:
        step = next(each for each in (12, 8, 6, 4, 3, 2, 1) if each <= hours)
        return f"17 */{step} * * *"
    return "17 3 * * *"


def unscheduled(target: Target) -> str:
    """Sh text after which nothing takes snapshots on the host any more, whether it did or not."""
    if target.facts.init != "systemd":
        return f"rm -f {_CRON}\n"
    return f"systemctl disable --quiet --now {_TIMER} 2>/dev/null || :\n"


def _never(target: Target) -> Iterator[Resource]:
    """Nothing takes snapshots; those that were taken stay."""
    if target.facts.init != "systemd":
        yield Absent(_CRON)
        return
    yield Condition(
        "no snapshots are scheduled",
        holds=f"! systemctl is-active {_TIMER}",
        repair=f"systemctl disable --now {_TIMER}",
    )
    yield Absent(f"{_UNITS}/{_TIMER}")
