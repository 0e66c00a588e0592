"""Verbs that make a cluster, one for each platform, and what Vagrant needs beside."""

from __future__ import annotations

from typing import Any

import click

from installer.cluster import Platform
from installer.commands.reporting import Reporting
from installer.verbs import options
from installer.verbs.options import hosts_of, wish_of
from installer.verbs.outcome import asking, or_exit, run


@click.command()
@options.cluster
@options.nodes
@options.converging
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


@click.command()
@options.cluster
@options.converging
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


@click.command()
@options.cluster
@options.nodes
@options.converging
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


@click.command("lxc-box")
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
        box = or_exit(lambda: ensure_box(reporting.emit), reporting)
    click.echo(box)


@click.command()
@options.cluster
@options.nodes
@options.converging
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


def _converge(
    platform: Platform, *, check: bool, diff: bool, limit: str, take_over: bool, as_json: bool,
    yes: bool, batch: str, drain_timeout: float, evict_bare_pods: bool, **given: Any,
) -> None:  # fmt: skip
    """What the command of each platform does, with its options as click hands them over."""
    from installer.commands.converge import How, converge
    from installer.upgrade.batches import parse
    from installer.upgrade.settings import Settings

    wish = wish_of(**given)
    settings = or_exit(
        lambda: Settings(batch=parse(batch), drain_timeout_s=drain_timeout, bare=evict_bare_pods)
    )
    how = How(
        check=check, limit=hosts_of(limit), take_over=take_over, settings=settings,
        confirm=asking(yes or as_json),
    )  # fmt: skip
    run(lambda reporting: converge(platform, wish, how, reporting), as_json, diff)
