"""`romana-install`: parses, calls one function, maps its outcome to an exit code."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from installer.cluster import Platform
from installer.commands.clusters import Wish
from installer.commands.reporting import Reporting
from installer.errors import HostError, InstallerError, InventoryError, PreflightError
from installer.events import Notice, Recap
from romana.version import VERSION

Function = TypeVar("Function", bound=Callable[..., Any])
INTERRUPTED = 130


def _options(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_cluster = _options(
    click.option("-i", "--inventory", type=click.Path(path_type=Path), help="Inventory file."),
    click.option("-n", "--name", default="", help="Name of the cluster."),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE",
        help="Set a value of the inventory: --set network.mtu=1400. May be repeated.",
    ),
)  # fmt: skip
_reaching = _options(
    click.option(
        "--sudo-password-file", type=click.Path(path_type=Path), metavar="FILE",
        help="File with the password that sudo wants on hosts, readable only by you.",
    ),
    click.option("-K", "--ask-sudo-password", is_flag=True, help="Ask for it on the terminal."),
)  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Events as JSON, one a line.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_converging = _options(
    _reaching,
    click.option("--check", is_flag=True, help="Say what would change, and change nothing."),
    click.option("--diff", is_flag=True, help="Show how files differ."),
    click.option("--limit", default="", metavar="HOSTS", help="Only these hosts: node1,node2."),
    click.option(
        "--take-over",
        is_flag=True,
        help="Take the cluster's lock from a run elsewhere that is dead.",
    ),
    _json,
    _yes,
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 changes pending (--check), 1 failed.",
)
@click.version_option(VERSION)
def main() -> None:
    """Builds Kubernetes clusters with routed pods and policies that the kernel judges.

    \b
    From nothing to a proven cluster on this machine:
      romana-install sandbox
      export KUBECONFIG=$(romana-install kubeconfig)
      kubectl get nodes
    """


@main.command()
@_cluster
@click.option("-c", "--nodes", type=click.IntRange(0), help="How many nodes beside the controller.")
@_converging
def sandbox(nodes: int | None, **given: Any) -> None:
    """Makes a cluster of hosts on this very machine, or repairs or upgrades it.

    Run again, it changes only what is not as the inventory says; a run that was killed is
    continued.

    \b
    Examples:
      romana-install sandbox
      romana-install sandbox -n big -c 5 --set vars.memory_mb=4096
      romana-install sandbox --check --diff
    """
    _converge("sandbox", nodes=nodes, **given)


@main.command()
@_cluster
@_converging
def static(**given: Any) -> None:
    """Makes a cluster of servers that are there, named in an inventory; repairs or upgrades it.

    The inventory is YAML, or what a dynamic inventory of Ansible's prints: an executable, or JSON
    in a file. Hosts may be behind a bastion, on any port, with any user that may use sudo.

    \b
    Examples:
      romana-install static -i hosts.yml
      romana-install static -i hosts.yml --ask-sudo-password
      romana-install static -i hosts.yml --check --diff
    """
    _converge("static", **given)


@main.command()
@_cluster
@click.option("-c", "--nodes", type=click.IntRange(0), help="How many nodes beside the controller.")
@_converging
def vagrant(nodes: int | None, **given: Any) -> None:
    """Makes a cluster of machines of Vagrant's, or repairs or upgrades it.

    vagrant/settings.yml says what the machines are; -c 0 is the cluster in the one machine
    sandbox, as `vagrant up sandbox` makes it.

    \b
    Examples:
      romana-install vagrant
      VAGRANT_DEFAULT_PROVIDER=libvirt romana-install vagrant -c 3
      romana-install vagrant --check --diff
    """
    _converge("vagrant", nodes=nodes, **given)


@main.command("lxc-box")
def lxc_box() -> None:
    """Makes the box that Vagrant's LXC machines are cloned from, and prints where it is.

    It is of this machine's own release of Debian or Ubuntu. Made once, it is kept.

    \b
    Example:
      romana-install lxc-box
    """
    from installer.platforms.vagrant.box import ensure_box

    reporting = Reporting("romana-install lxc-box")
    with reporting:
        box = _or_exit(lambda: ensure_box(reporting.emit), reporting)
    click.echo(box)


@main.command()
@_cluster
@click.option("-c", "--nodes", type=click.IntRange(0), help="How many nodes beside the controller.")
@_converging
def aws(nodes: int | None, **given: Any) -> None:
    """Makes a cluster on AWS, or repairs or upgrades it.

    Shows what will be made and what it costs, and asks; elsewhere than on a terminal it needs
    --yes. Everything is found by its tags: a run that was killed is continued by running it again.

    \b
    Examples:
      romana-install aws --check --diff
      romana-install aws --yes
      romana-install aws -n prod -i prod.yml -c 5
    """
    _converge("aws", nodes=nodes, **given)


@main.command()
@_cluster
@_reaching
@_json
def test(as_json: bool, **given: Any) -> None:
    """Runs the smoke test again: whether pods reach what they may, and nothing else.

    It uses namespaces of its own and is harmless on a cluster in use.

    \b
    Example:
      romana-install test -n sandbox
    """
    from installer.commands import existing

    wish = _wish(**given)
    _run(lambda reporting: existing.test(wish, reporting), as_json)


@main.command()
@_cluster
@_reaching
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def status(as_json: bool, **given: Any) -> None:
    """Shows how the cluster is: hosts, services, versions, certificates, nodes, agents.

    Exits with 1 where something is not as it should be.

    \b
    Example:
      romana-install status -n sandbox
    """
    import json

    from rich.console import Console

    from installer.commands import existing
    from installer.status import as_json as plain
    from installer.status import render

    wish = _wish(**given)
    found = _or_exit(lambda: existing.status(wish))
    if as_json:
        click.echo(json.dumps(plain(found), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(render(found))
    sys.exit(1 if found.problems else 0)


@main.command()
@_cluster
def kubeconfig(inventory: Path | None, name: str, settings: tuple[str, ...]) -> None:
    """Prints the path of the cluster's kubeconfig, for its administrator.

    \b
    Example:
      export KUBECONFIG=$(romana-install kubeconfig)
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    click.echo(_or_exit(lambda: existing.kubeconfig(wish)))


@main.command()
@_cluster
@click.argument("host")
@click.argument("command", nargs=-1)
def ssh(
    inventory: Path | None,
    name: str,
    settings: tuple[str, ...],
    host: str,
    command: tuple[str, ...],
) -> None:
    """Logs in on a host, or runs a command there.

    \b
    Examples:
      romana-install ssh node1
      romana-install ssh node1 -- romana status
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    _or_exit(lambda: existing.ssh(wish, host, command))


@main.command()
@_cluster
@_reaching
@click.option(
    "--platform", type=click.Choice(get_args(Platform)), help="Where the hosts come from."
)
@_json
def doctor(platform: Platform | None, as_json: bool, **given: Any) -> None:
    """Says what keeps hosts from being a cluster, all at once, each with its remedy.

    Looks at the cluster of that name, or at the hosts of an inventory, of any platform; changes
    nothing. Exits with 1 where something has to be mended.

    \b
    Examples:
      romana-install doctor -i hosts.yml
      romana-install doctor -n sandbox --json
    """
    from installer.commands.doctor import doctor as look

    wish = _wish(**given)
    _run(lambda reporting: look(platform, wish, reporting), as_json)


@main.command()
@_cluster
@_reaching
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The archive, or a directory for it."
)
@_json
def support(
    inventory: Path | None,
    name: str,
    settings: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    **reach: Any,
) -> None:
    """Collects what someone who is to help has to see, in one archive.

    Versions, states, logs, rules, routes and the last runs' journal, of all hosts that answer;
    without private keys, tokens, passwords and the values of environment variables. Nothing is
    changed.

    \b
    Example:
      romana-install support -n sandbox -o /tmp
    """
    from installer.commands import support as collecting

    wish = _wish(inventory=inventory, name=name, settings=settings, **reach)
    _run(lambda reporting: collecting.collect(wish, output, reporting), as_json)


@main.command()
@_cluster
@_reaching
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file, or a directory for it."
)
@click.option(
    "--keep",
    "keep_days",
    type=click.IntRange(0),
    metavar="DAYS",
    help="Remove older backups of the cluster from that directory.",
)
@_json
def backup(
    inventory: Path | None, name: str, settings: tuple[str, ...], output: Path | None,
    keep_days: int | None, as_json: bool, **reach: Any,
) -> None:  # fmt: skip
    """Backs a cluster up into one file, which is verified: what etcd holds, the cluster's secrets,
    and how it was asked for.

    Without -o it goes to the cluster's state directory. Keep it where the cluster's keys may be.

    \b
    Example, every night, keeping a month:
      0 3 * * *  romana-install backup -n prod -o /srv/backups --keep 30
    """
    from installer.commands import backup as backing

    wish = _wish(inventory=inventory, name=name, settings=settings, **reach)
    _run(lambda reporting: backing.take(wish, output, keep_days, reporting), as_json)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@_cluster
@_reaching
@_json
@_yes
def restore(
    file: Path, inventory: Path | None, name: str, settings: tuple[str, ...], as_json: bool,
    yes: bool, **reach: Any,
) -> None:  # fmt: skip
    """Rebuilds a lost control plane from a backup, on the same hosts or on new ones.

    Controllers that are gone are made or laid down anew; pods that run go on running, and policies
    stay in force meanwhile. What changed in the cluster after the backup is lost.

    \b
    Example:
      romana-install restore /srv/backups/romana-backup-prod-20261124-030000.tar.gz
    """
    from installer.commands import backup as backing

    wish = _wish(inventory=inventory, name=name, settings=settings, **reach)
    _run(lambda reporting: backing.restore(wish, file, _asking(yes or as_json), reporting), as_json)


@main.command()
@_cluster
@_json
@_yes
def destroy(
    inventory: Path | None, name: str, settings: tuple[str, ...], as_json: bool, yes: bool
) -> None:
    """Removes a cluster: its hosts, and all that this machine keeps of it.

    Servers (romana-install static) are left as they are, with the cluster running on them.

    \b
    Example:
      romana-install destroy -n sandbox --yes
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    _run(lambda reporting: existing.destroy(wish, _asking(yes), reporting), as_json)


def _wish(ask_sudo_password: bool, **given: Any) -> Wish:
    """What the command line says, with the password that it asks for."""
    typed = ""
    if ask_sudo_password:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on: use --sudo-password-file")
        typed = click.prompt("sudo password", hide_input=True, err=True)
    return Wish(**given, sudo_password=typed)


def _converge(
    platform: Platform, *, check: bool, diff: bool, limit: str, take_over: bool, as_json: bool,
    yes: bool, **given: Any,
) -> None:  # fmt: skip
    """What the command of each platform does, with its options as click hands them over."""
    from installer.commands.converge import How, converge

    wish = _wish(**given)
    hosts = tuple(host.strip() for host in limit.split(",") if host.strip())
    if limit and not hosts:
        raise click.BadParameter("names no host", param_hint="--limit")
    how = How(check=check, limit=hosts, take_over=take_over, confirm=_asking(yes or as_json))
    _run(lambda reporting: converge(platform, wish, how, reporting), as_json, diff)


def _asking(yes: bool) -> Callable[[str], bool]:
    """Asks on a terminal; without one, only --yes is a yes."""

    def ask(question: str) -> bool:
        if not yes and not sys.stdin.isatty():
            click.echo(f"{question} There is no terminal to ask on: give --yes", err=True)
            return False
        return yes or click.confirm(question)

    return ask


def _run(command: Callable[[Reporting], int], as_json: bool, diff: bool = False) -> None:
    words = shlex.join(["romana-install", *sys.argv[1:]])
    reporting = Reporting(words, as_json=as_json, diff=diff)
    # Ended from outside, a run closes its connections and says in the journal where it was.
    # Also where a shell has started it in the background, with its interrupt ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with reporting:
        code = _or_exit(lambda: command(reporting), reporting)
    if code == 1 and reporting.log_path is not None:
        click.echo(f"log: {reporting.log_path}", err=True)
    sys.exit(code)


Result = TypeVar("Result")


def _or_exit(function: Callable[[], Result], reporting: Reporting | None = None) -> Result:
    """The function's result; an error is shown, and ends the program with the error's exit code."""
    try:
        return function()
    except BaseException as error:
        if reporting is not None:
            reporting.pause()  # or words would stand behind a bar
        _leave(error, reporting)
        raise


def _leave(error: BaseException, reporting: Reporting | None) -> None:
    """Shows an error that can be told, and ends the program with its exit code."""
    if isinstance(error, InstallerError):
        if reporting is not None and reporting.as_json:
            for problem in getattr(error, "problems", ()):
                reporting.emit(Notice(text=str(problem), level="warning"))
            reporting.emit(Recap(hosts=(), seconds=0, stopped=error.message))
        _show(error, reporting)
        sys.exit(error.exit_code)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(InstallerError.exit_code)
    if isinstance(error, KeyboardInterrupt):
        click.echo("interrupted; run the same command again to continue", err=True)
        sys.exit(INTERRUPTED)


def _show(error: InstallerError, reporting: Reporting | None) -> None:
    click.echo(f"error: {error.message}", err=True)
    if isinstance(error, InventoryError | PreflightError):
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
    if isinstance(error, HostError) and error.output:
        for line in error.output.splitlines():
            click.echo(f"  {line}", err=True)
    if error.advice:
        click.echo(f"  {error.advice}", err=True)
    if reporting is not None and reporting.log_path is not None:
        click.echo(f"  log: {reporting.log_path}", err=True)


if __name__ == "__main__":
    main()
