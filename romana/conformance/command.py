"""`romana conformance`: the command's work, apart from its options."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from romana.conformance.cases import Case, ConformanceError, dump, load
from romana.conformance.report import Report
from romana.conformance.run import Setting, run
from romana.conformance.shrink import smallest
from romana.conformance.worlds import Shape, random_case
from romana.lab.command import LabError

SEEDS = 2**31
"""So many are chosen from."""
SHRINK_LIMIT_S = 240.0


def conformance(path: Path, setting: Setting, *, only: str, as_json: bool) -> int:
    """Run the cases of a file and print what came of it.

    Args:
        path: the file.
        setting: where to run.
        only: cases with this text in their description or among their tags; empty for all.
        as_json: print JSON.

    Returns:
        The exit code: 0 where no cell is wrong.
    """
    return _told(_report(lambda: selected(load(path), only), setting), as_json=as_json)


def by_chance(
    seed: int | None, steps: int, shape: Shape, setting: Setting, *, as_json: bool
) -> int:
    """Run a case of policies, pods and labels by chance, with the reference evaluator as judge, and
    print what came of it. One that fails is made small, and written to a file.

    Args:
        seed: of the case; None for another one each time, which is told.
        steps: how often the cluster changes.
        shape: how large it is.
        setting: where to run.
        as_json: print JSON.

    Returns:
        The exit code: 0 where no cell is wrong.
    """
    chosen = secrets.randbelow(SEEDS) if seed is None else seed
    case = random_case(chosen, steps, shape)
    report = _report(lambda: (case,), setting)
    code = _told(report, as_json=as_json)
    if code:
        family = " --ipv6" if shape.family == 6 else ""
        where = f"--hosts {setting.hosts} --backend {setting.backend}"
        again = f"romana conformance --random --seed {chosen} --steps {steps} {where}{family}"
        click.echo(f"romana conformance: seed {chosen} fails; again: {again}", err=True)
        if report is not None:
            _shrink(case, report, setting, Path(f"romana-conformance-{chosen}.json"), where)
    elif seed is None and not as_json:
        click.echo(f"seed {chosen}")
    return code


def _shrink(case: Case, report: Report, setting: Setting, path: Path, where: str) -> None:
    """Find the smallest case that fails, in the time that is given to that, and write it."""
    end, tries = time.monotonic() + SHRINK_LIMIT_S, 0

    def fails(candidate: Case) -> bool:
        nonlocal tries
        if time.monotonic() > end:
            return False
        tries += 1
        try:
            return bool(run((candidate,), setting, lambda *_: None).wrong)
        except (ConformanceError, LabError):
            return False  # another failure than the one that is looked for

    click.echo(f"romana conformance: making it small, {SHRINK_LIMIT_S:.0f} s at most", err=True)
    found = smallest(case, min(each.step for each in report.wrong), fails)
    found = replace(found, description=f"{case.description}, made small")
    path.write_bytes(dump((found,)))
    last = found.steps[-1]
    size = f"{len(found.steps)} steps, {len(last.pods)} pods, {len(last.policies)} policies"
    click.echo(
        f"romana conformance: {path} still fails, with {size} (after {tries} tries);"
        f" again: romana conformance {path} {where}",
        err=True,
    )


def _report(cases: Callable[[], tuple[Case, ...]], setting: Setting) -> Report | None:
    """Make cases and run them; None where that cannot be done, which is told."""
    try:
        if os.geteuid() != 0:
            raise ConformanceError("only root can make hosts and pods: try sudo")  # noqa: TRY301
        # Whoever ends the run finds nothing of it left.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        # Also where a shell has started it in the background, with its interrupt ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return _run(cases(), setting)
    except (ConformanceError, LabError, OSError) as error:
        click.echo(f"romana conformance: {error}", err=True)
        return None


def _told(report: Report | None, *, as_json: bool) -> int:
    """Print what came of a run; the exit code."""
    if report is None:
        return 1
    if as_json:
        click.echo(msgspec.json.encode(report.as_json()).decode())
    else:
        for line in report.lines():
            click.echo(line)
    return 1 if report.wrong else 0


def selected(cases: tuple[Case, ...], only: str) -> tuple[Case, ...]:
    """The cases with a text in their description or among their tags.

    Raises:
        ConformanceError: there is none.
    """
    wanted = only.lower()
    found = tuple(
        case
        for case in cases
        if wanted in case.description.lower() or wanted in (tag.lower() for tag in case.tags)
    )
    if not found:
        raise ConformanceError(f"none of the {len(cases)} cases has `{only}` in it")
    return found


def _run(cases: tuple[Case, ...], setting: Setting) -> Report:
    """Run, with a bar where somebody looks."""
    with ExitStack() as stack:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            bar = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
            task = bar.add_task("making hosts", total=len(cases))

            def progress(case: Case, wrong: int) -> None:
                bar.update(task, advance=1, description=case.description[:60])
                if wrong:
                    bar.console.print(f"{case.description}: {wrong} wrong", markup=False)

        else:

            def progress(case: Case, wrong: int) -> None:
                if wrong:
                    click.echo(f"{case.description}: {wrong} wrong", err=True)

        return run(cases, setting, progress)
