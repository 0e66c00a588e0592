"""`romana policy add` and `romana policy remove`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from romana.authoring.drafts import Draft
    from romana.authoring.place import Place

AGENT_CONFIG = Path("/etc/romana/agent.yml")
_PREFIX = "files:"

_source = click.option(
    "--source", default="", help="files:DIRECTORY, where agents without Kubernetes read policies."
)
_kubeconfig = click.option(
    "--kubeconfig",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The cluster, and who you are there.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command(epilog="Example: romana policy add web-to-db.yaml")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@_source
@_kubeconfig
@click.option("--check", is_flag=True, help="Say what is wrong with it, and change nothing.")
@_json
def add(file: Path, source: str, kubeconfig: Path | None, check: bool, as_json: bool) -> None:
    """Add the policies in FILE (- is standard input), in place of those of the same name.

    FILE holds RomanaPolicy or NetworkPolicy manifests, or the JSON of Romana 0.9 or 2.0, which is
    imported. They go to the directory of --source, to the cluster of --kubeconfig, or without
    either where the agent of this host reads policies. All of FILE is checked before any is added.
    """
    from romana.authoring.drafts import read_drafts
    from romana.sources.errors import SourceError

    try:
        drafts = read_drafts(file)
        _refuse_faults(file, drafts)
        place = None if check else _place(source, kubeconfig)
        results = [(draft, place.add(draft).value if place else "sound") for draft in drafts]
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    for draft in drafts:
        for note in draft.notes:
            click.echo(f"{draft.title}: {note}", err=True)
    if as_json:
        found = [{"policy": draft.title, "result": result} for draft, result in results]
        return click.echo(json.dumps(found, indent=2))
    where = f" in {place.title}" if place else ""
    for draft, result in results:
        click.echo(f"{draft.title}: {result}{where}")
    return None


@click.command(epilog="Example: romana policy remove web-to-db")
@click.argument("name")
@_source
@_kubeconfig
@_json
def remove(name: str, source: str, kubeconfig: Path | None, as_json: bool) -> None:
    """Remove a policy. NAME is a RomanaPolicy's, NAMESPACE/NAME a NetworkPolicy's, or either as
    `romana policy list` shows it."""
    from romana.sources.errors import SourceError

    try:
        place = _place(source, kubeconfig)
        result = place.remove(name).value
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        return click.echo(json.dumps({"policy": name, "result": result}, indent=2))
    return click.echo(f"{name}: {result} from {place.title}")


def _refuse_faults(file: Path, drafts: tuple[Draft, ...]) -> None:
    """End with a line for each thing that is wrong."""
    faults = [f"{file}: {draft.title}: {fault}" for draft in drafts for fault in draft.faults]
    if faults:
        for each in faults:
            click.echo(each, err=True)
        sys.exit(1)


def _place(source: str, kubeconfig: Path | None) -> Place:
    """Where policies are kept: as the operator says, or as the agent of this host is configured."""
    from romana.authoring.cluster import ClusterPlace
    from romana.authoring.directory import DirectoryPlace
    from romana.sources.kubeconfig import candidates

    if source and kubeconfig:
        raise click.UsageError("give --source or --kubeconfig, not both")
    if source and not source.startswith(_PREFIX):
        raise click.UsageError(f"--source {source}: must be files:DIRECTORY")
    directory = source or ("" if kubeconfig else _agent_source())
    if directory.startswith(_PREFIX):
        return DirectoryPlace(Path(directory.removeprefix(_PREFIX)))
    for path in (kubeconfig,) if kubeconfig else candidates():
        return ClusterPlace(path)
    hint = "give --source files:DIRECTORY or --kubeconfig FILE"
    raise click.UsageError(f"it is not known where policies are kept; {hint}")


def _agent_source() -> str:
    """`source` of the agent of this host, where there is one."""
    from romana.agent.config import load
    from romana.agent.errors import ConfigError
    from romana.sources.errors import SourceError

    if not AGENT_CONFIG.exists():
        return ""
    try:
        return load(AGENT_CONFIG).source
    except ConfigError as error:
        raise SourceError(str(error)) from error
