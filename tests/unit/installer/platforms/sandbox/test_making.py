"""What the sandbox writes: scripts, files, keys, a cache."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from installer.platforms.keys import ensure_key
from installer.platforms.sandbox.cache import unfinished
from installer.platforms.sandbox.cgroups import Seats
from installer.platforms.sandbox.content import FILES
from installer.platforms.sandbox.identity import seeds
from installer.platforms.sandbox.launch import Launch, boot, nspawn, supervise
from installer.platforms.sandbox.packages import apt_words
from installer.platforms.sandbox.publish import choose_port
from romana.lab.forward import Forward, parse

SHELLCHECK = str(Path(sys.executable).parent / "shellcheck")
GROUP = Path("/sys/fs/cgroup/cpu/romana-one.node1")
LAUNCH = Launch(
    name="romana-one.node1",
    hostname="node1",
    directory=Path("/var/lib/romana/sandbox/one/node1"),
    image=Path("/cache/it's an image"),
    namespace=Path("/run/netns/romana-one.node1"),
    network=(
        "python3",
        "-m",
        "romana.lab.host",
        "romana-one",
        "198.18.0.0/24",
        "node1",
        "198.18.0.11",
    ),
    seats=Seats(supervisor=(GROUP,), host=(GROUP,)),
    unified=False,
    binds=("/var/lib/kubelet",),
    shared=((Path("/cache/packages"), "/var/cache/romana/packages"),),
)


@pytest.mark.parametrize("script", [supervise(LAUNCH), boot(LAUNCH)], ids=["supervise", "boot"])
def test_scripts_are_sound_shell(script, tmp_path):
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\nset -eu\n{script}")
    done = subprocess.run([SHELLCHECK, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("text", [text for _, text in FILES if text.startswith("#!")])
def test_programs_of_the_host_are_sound_shell(text, tmp_path):
    path = tmp_path / "script"
    path.write_text(text)
    done = subprocess.run([SHELLCHECK, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_supervisor_joins_its_groups_before_anything_runs():
    script = supervise(LAUNCH)
    assert script.index("/sys/fs/cgroup/cpu/romana-one.node1/cgroup.procs") < script.index(
        "unshare"
    )
    assert script.index("romana.lab.host") < script.index("unshare")


def test_unified_machines_say_so_to_nspawn():
    assert "UNIFIED_HIERARCHY" not in boot(LAUNCH)
    assert "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1" in boot(replace(LAUNCH, unified=True))


def test_nspawn_binds():
    words = nspawn(LAUNCH)
    data = "/var/lib/romana/sandbox/one/node1/data/var-lib-kubelet"
    assert f"--bind={data}:/var/lib/kubelet" in words
    assert "--bind-ro=/cache/packages:/var/cache/romana/packages" in words


def test_seeds_of_a_host():
    files = {
        seed.path: seed
        for seed in seeds(
            hostname="node1",
            machine_id="0" * 32,
            host_key="secret\n",
            host_public="ssh-ed25519 AAAA",
            user_public="ssh-ed25519 BBBB",
        )
    }
    assert files["/etc/hostname"].text == "node1\n"
    assert files["/etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert files["/root/.ssh/authorized_keys"].text == "ssh-ed25519 BBBB\n"
    assert files["/usr/local/lib/romana-sandbox/cgroups"].mode == 0o755


def test_keys_are_made_once_and_are_openssh(tmp_path):
    path = tmp_path / "keys" / "id"
    public = ensure_key(path)
    assert ensure_key(path) == public
    assert path.stat().st_mode & 0o777 == 0o600
    derived = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True)
    assert derived.stdout.split()[:2] == public.split()


def test_a_half_made_key_is_made_again(tmp_path):
    path = tmp_path / "id"
    first = ensure_key(path)
    path.with_name("id.pub").unlink()
    assert ensure_key(path) != first


def test_cache_entry_appears_only_when_finished(tmp_path):
    target = tmp_path / "image"

    def interrupted():
        with unfinished(target) as work:
            (work / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not target.exists()
    with unfinished(target) as work:
        assert not (work / "half").exists(), "what the killed run left is gone"
        (work / "whole").write_text("")
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_apt_takes_the_image_for_what_is_installed():
    words = apt_words(Path("/image"), ("runc",), Path("/out"))
    assert "Dir::State::status=/image/var/lib/dpkg/status" in words
    assert words[-2:] == ("install", "runc")


def test_port_stays_while_it_is_free():
    port = choose_port(None)
    assert choose_port(port) == port


def test_a_forwarder_is_known_by_its_words():
    wanted = Forward(namespace="romana-one", port=16443, address="198.18.0.10", target=6443)
    assert parse(["/usr/bin/python3", *wanted.words]) == wanted
    assert parse(["/usr/bin/python3", "-m", "romana.lab.host", "a", "b", "c", "d"]) is None
