"""`romana-install`: assembles the verbs. Each is in a module of `installer.verbs`."""

from __future__ import annotations

import click

from installer.verbs import backups, making, offline, reaching, removing, rotating, seeing
from romana.version import VERSION


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


for verb in (
    making.sandbox,
    making.static,
    making.vagrant,
    making.lxc_box,
    making.aws,
    seeing.test,
    seeing.status,
    seeing.doctor,
    seeing.support,
    reaching.kubeconfig,
    reaching.ssh,
    backups.backup,
    backups.restore,
    backups.rollback,
    offline.bundle,
    removing.reset,
    rotating.rotate_ca,
    removing.destroy,
):
    main.add_command(verb)


if __name__ == "__main__":
    main()
