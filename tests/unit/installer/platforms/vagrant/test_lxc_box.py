"""What the LXC box adds to the root file system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from installer.platforms.vagrant.content import LINKS, seeds

SHELLCHECK = str(Path(sys.executable).parent / "shellcheck")
SEEDS = {
    seed.path: seed for seed in seeds("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n", "root:*:\n")
}


def test_the_user_of_every_box_may_become_root_and_logs_in_by_key():
    assert SEEDS["/etc/passwd"].text.splitlines() == [
        "root:x:0:0::/root:/bin/sh",
        "vagrant:x:1000:1000::/home/vagrant:/bin/bash",
    ]
    assert SEEDS["/etc/shadow"].text.splitlines()[1].startswith("vagrant:*:"), "no password"
    assert SEEDS["/etc/shadow"].mode == 0o640
    assert SEEDS["/etc/sudoers.d/vagrant"].mode == 0o440
    key = SEEDS["/home/vagrant/.ssh/authorized_keys"]
    assert key.mode == 0o600
    assert key.text.endswith("== vagrant insecure public key\n")


@pytest.mark.parametrize("seed", [s for s in SEEDS.values() if s.text.startswith("#!")])
def test_scripts_are_sound_shell_and_can_be_run(seed, tmp_path):
    (tmp_path / "script").write_text(seed.text)
    done = subprocess.run([SHELLCHECK, tmp_path / "script"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert seed.mode == 0o755


def test_links_lead_to_units_that_are_there():
    assert {target for _, target in LINKS} <= {"/dev/null", *SEEDS}
