"""`romana-install bundle` and `--bundle` as typed: what is refused, with what to do next, before
anything is fetched."""

import platform
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from installer.cli import main

OTHER = "amd64" if platform.machine() == "aarch64" else "arm64"
HOSTS = """\
cluster: {name: site}
network: {pods: 10.112.0.0/12, services: 10.96.0.0/16}
hosts:
  alpha: {address: 198.18.0.10}
groups: {controller: [alpha], nodes: [alpha]}
"""


@pytest.fixture(autouse=True)
def directories(tmp_path, monkeypatch):
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    (tmp_path / "hosts.yml").write_text(HOSTS)
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (),
            "hosts of static run is not known here\n  name them: --os ubuntu-14.04|",
        ),
        (("--os", "debain-12"), "clusters are not laid down on that\n  did you mean debian-12?"),
        (("--os", "ubuntu-16.04"), "--os ubuntu-16.04: clusters are not laid down on that"),
        (("--os", "debian-12", "--sign", "nokey"), "nokey: there is no such key"),
        (("--os", "debian-12", "-o", "none/site.tar"), "none: there is no such directory"),
        (("--os", "debian-12", "--arch", OTHER), f"images for {OTHER} cannot be made on this"),
        (("--set", "cluster.kubernetes=v9.0.0"), "the inventory has one problem"),
    ],
)
def test_what_cannot_be_made_is_told_before_anything_is_fetched(tmp_path, words, said):
    ended = run("bundle", "static", "-i", "hosts.yml", "-o", "site.tar", *words)
    assert ended.exit_code == 1
    assert said in ended.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hosts.yml"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "site.tar: No such file or directory"),
        (b"", "site.tar: ends in the middle of manifest.json: it is not whole"),
        (b"no bundle" * 500, "site.tar: is no bundle of romana-install, or manifest.json is"),
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        ("bundle", "--list", "site.tar"),
        ("static", "-i", "hosts.yml", "--bundle", "site.tar"),
        ("static", "-i", "hosts.yml", "--bundle", "site.tar", "--check"),
    ],
)
def test_what_is_no_bundle_is_told_and_nothing_is_made(
    tmp_path: Path, words: tuple[str, ...], content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "site.tar").write_bytes(content)
    ended = run(*words)
    assert ended.exit_code == 1
    assert ended.output.startswith("error: ")
    assert said in ended.output.splitlines()[0]
    assert not (tmp_path / "STATE").exists()


def test_whose_bundles_are_taken_is_about_a_bundle():
    ended = run("static", "-i", "hosts.yml", "--bundle-from-anyone")
    assert ended.exit_code == 2
    assert "are about a --bundle" in ended.output
