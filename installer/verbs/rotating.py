"""Verbs that give a cluster other secrets."""

from __future__ import annotations

from typing import Any

import click

from installer.pki.rotation import STAGES, Stage
from installer.verbs import options
from installer.verbs.options import wish_of
from installer.verbs.outcome import asking, run


@click.command("rotate-ca")
@options.cluster
@options.reaching
@click.option(
    "--until",
    type=click.Choice(STAGES),
    default=STAGES[-1],
    help="Stop when this stage has been reached; the same command goes on later.",
)
@options.json
@options.yes
def rotate_ca(until: Stage, as_json: bool, yes: bool, **given: Any) -> None:
    """Gives a cluster other certificate authorities, and another key for tokens, while it runs.

    Three runs of all hosts: the new authorities are trusted beside the old ones, then issue in
    their place, then the old ones are not trusted any more. One that was killed or stopped is
    continued by the same command; other runs meanwhile leave the stage as it is.

    Pods that read the authority's certificate only when they start have to be started again after
    the first stage: --until trusting leaves time for that.

    \b
    Examples:
      romana-install rotate-ca -n prod --until trusting
      romana-install rotate-ca -n prod --yes
    """
    from installer.commands import rotating

    wish = wish_of(**given)
    run(lambda reporting: rotating.rotate(wish, until, asking(yes or as_json), reporting), as_json)
