"""Runs the table of checks against a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from installer.cluster import Cluster
from installer.errors import SmokeFailed
from installer.events import CheckResult, Emit, Notice
from installer.kubernetes import Api, read
from installer.smoke.evidence import HostShell
from installer.smoke.pace import PACE, Pace
from installer.smoke.placement import players, sites
from installer.smoke.play import Play
from installer.smoke.stage import Stage, sweep


def run(
    cluster: Cluster, connections: Mapping[str, HostShell], emit: Emit, pace: Pace = PACE
) -> tuple[CheckResult, ...]:
    """Proves that the cluster's network does what it must. Uses namespaces of its own, which are
    removed also after a failure or Ctrl-C; harmless on a live cluster.

    Args:
        cluster: the kubeconfig is in its state directory.
        connections: to its hosts, by name, for the evidence of failed checks; may be empty.
        emit: told each check's result as it is known.
        pace: limits; the defaults are for real clusters.

    Raises:
        SmokeFailed: a check failed, or the pods do not start.
        InstallerError: the API server cannot be reached.
    """
    return asyncio.run(_run(cluster, connections, emit, pace))


async def _run(
    cluster: Cluster, connections: Mapping[str, HostShell], emit: Emit, pace: Pace
) -> tuple[CheckResult, ...]:
    async with Api(read(cluster.kubeconfig)) as api:
        await sweep(api, emit, pace)
        where = sites((await api.get("/api/v1/nodes"))["items"])
        if not where:
            raise SmokeFailed(
                f"smoke test: cluster {cluster.name} has no node that is ready",
                ("pods start",),
                "romana-install status shows nodes and services",
            )
        if len(where) == 1:
            emit(
                Notice(
                    text=f"smoke test: {where[0].node} is the only node, so the checks across "
                    "hosts are skipped"
                )
            )
        stage = Stage(api=api, pods=players(where), emit=emit, pace=pace)
        results = await _on_stage(stage, connections)
    failed = tuple(result.name for result in results if not result.passed)
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise SmokeFailed(
            f"smoke test: {len(failed)} of {len(results)} checks failed: {failed[0]}{more}",
            failed,
            "the evidence is beside each failed check; run again with: romana-install test",
        )
    return results


async def _on_stage(stage: Stage, hosts: Mapping[str, HostShell]) -> tuple[CheckResult, ...]:
    begun = time.monotonic()
    play = Play(stage=stage, hosts=hosts)
    try:
        await stage.set_up()
        nodes = len({pod.site for pod in stage.pods})
        play.report(
            CheckResult(
                name="pods start",
                expected=f"within {stage.pace.start_limit_s:.0f} s",
                observed=f"{len(stage.pods)} on {nodes} hosts",
                passed=True,
                seconds=time.monotonic() - begun,
            )
        )
        await play.all()
    finally:
        # A second Ctrl-C may still end this; the next run then removes what is left.
        await asyncio.shield(stage.tear_down())
    return tuple(play.results)
