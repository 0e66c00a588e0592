"""Rotates a cluster's certificate authorities: stage by stage, each carried out by an ordinary run
of all hosts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from installer import pki
from installer.cluster import Cluster
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.commands.converge import How, converge
from installer.commands.reporting import Reporting
from installer.engine import journal
from installer.errors import InstallerError
from installer.events import Notice
from installer.pki import rotation
from installer.pki.certificates import utc_now
from installer.pki.rotation import Stage

_MEANING = {
    "trusting": "the new authorities are trusted everywhere, the old ones go on issuing",
    "issuing": "the new authorities issue, the old ones are still trusted",
    "distrusting": "only the new authorities are trusted",
}


def rotate(wish: Wish, until: Stage, confirm: Callable[[str], bool], reporting: Reporting) -> int:
    """Goes on with a rotation, or begins one.

    Args:
        wish: which cluster.
        until: the last stage to enter.
        confirm: asked before anything is changed.
        reporting: is told everything.

    Returns:
        The exit code of the last run: it goes no further than the first that is not complete.

    Raises:
        InstallerError: the cluster is not one that works, or nothing was agreed to.
    """
    cluster = clusters.known(wish)
    store = pki.directory(cluster)
    stage = rotation.read_stage(store)
    ended = rotation.ended(store, utc_now())
    last = journal.read(cluster.state / "journal.json")
    if not stage and not ended and (last is None or last.state != "done"):
        raise InstallerError(
            f"the last run of cluster {cluster.name} was not completed",
            f"complete it first: romana-install {cluster.platform} -n {cluster.name}",
        )
    steps = rotation.steps(stage, until, ended=ended)
    if not steps:
        raise InstallerError(
            f"the rotation is past that stage already, in {stage}", "leave --until out"
        )
    question = f"Rotate the authorities of cluster {cluster.name}?"
    if not confirm(f"{question} Its services restart {len(steps)} times."):
        raise InstallerError("nothing was changed", "answer y, or give --yes")
    wish = clusters.as_recorded(replace(wish, name=cluster.name))
    for step in steps:
        how = How(
            confirm=lambda _: True,
            smoke=step == steps[-1],
            entering=partial(_enter, step, reporting),
        )
        code = converge(cluster.platform, wish, how, reporting)
        if code != 0:
            return code
    if steps[-1] == "distrusting":
        rotation.end(store)
        text = "kubeconfigs that were handed out before have ended: hand out new ones"
        reporting.emit(Notice(text=text))
    return 0


def _enter(step: Stage, reporting: Reporting, cluster: Cluster) -> None:
    """With the lock held."""
    store = pki.directory(cluster)
    if rotation.read_stage(store) != step:
        rotation.enter(store, step, utc_now())
    reporting.emit(Notice(text=f"rotation, stage {step}: {_MEANING[step]}"))
