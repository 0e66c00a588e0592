"""The file itself: any tar reads it, the same members make the same bytes, and no byte of it can
change, go missing or be added unnoticed."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from installer.bundle import contents, layout
from installer.bundle.signature import Trust
from installer.bundle.unpacking import check, open_bundle
from installer.errors import ArtifactError

ANYONE = Trust(anyone=True)


def refusal(path: Path, trust: Trust = ANYONE) -> str:
    """Why a bundle is refused. Nothing of it is kept."""
    cache = path.parent / "cache"
    with pytest.raises(ArtifactError) as error:
        open_bundle(path, trust, lambda event: None, cache)
    assert not cache.exists() or [each.name for each in cache.iterdir()] == [".lock"]
    assert "\n" not in error.value.message
    assert str(path) in error.value.message
    return error.value.message


def owner(path: Path, offset: int) -> str:
    """The member that a byte belongs to: its headers, its content or its padding."""
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            end = member.offset_data + member.size + -member.size % 512
            if member.offset <= offset < end:
                return member.name
    return "the end"


def test_any_tar_reads_it(make, tmp_path):
    made = make()
    subprocess.run(("tar", "-xf", str(made.path), "-C", str(tmp_path)), check=True)
    for member in made.manifest.members:
        assert (tmp_path / member.name).stat().st_size == member.size
    words = ("sha256sum", "--check", "--quiet", contents.SUM)
    subprocess.run(words, cwd=tmp_path, check=True)


def test_the_same_members_make_the_same_bytes(make):
    assert make(key="").bytes == make(key="").bytes
    first, second = make(), make(key="stranger")
    assert first.bytes != second.bytes
    assert first.path.stat().st_size == second.path.stat().st_size


def test_what_was_written_is_what_is_read(make, tmp_path):
    made = make()
    manifest, _ = check(made.path, ANYONE, lambda event: None)
    assert manifest == made.manifest
    directory = open_bundle(made.path, ANYONE, lambda event: None, tmp_path)
    with tarfile.open(made.path) as tar:
        for member in made.manifest.members:
            stream = tar.extractfile(member.name)
            assert stream is not None
            assert (directory / member.name).read_bytes() == stream.read()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_flipped_byte_anywhere_is_told_with_its_member(make, keys, signed, data):
    whole = signed.bytes
    offset = data.draw(st.integers(0, len(whole) - 1), label="offset")
    flipped = bytearray(whole)
    flipped[offset] ^= data.draw(st.integers(1, 255), label="mask")
    damaged = signed.path.with_name("damaged.tar")
    damaged.write_bytes(flipped)
    trust = data.draw(st.sampled_from((ANYONE, Trust(keys=keys / "maker.pub"))), label="trust")
    named = owner(signed.path, offset).removesuffix(".sha256").removesuffix(".sig")
    assert named in refusal(damaged, trust)


@pytest.fixture(scope="module")
def signed(make):
    return make()


def test_every_byte_of_the_head_and_of_the_ends_counts_without_a_signature(make):
    made = make(key="", contents={"wheels/a": b"a"})
    whole = made.bytes
    damaged = made.path.with_name("damaged.tar")
    for offset in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[offset] ^= 0x20
        damaged.write_bytes(flipped)
        refusal(damaged)


@pytest.mark.parametrize("left", [0, 1, 511, 512, 700, 0.5, -1025, -1024, -1])
def test_a_bundle_that_is_not_whole_is_told(make, left):
    made = make()
    whole = made.bytes
    keep = int(len(whole) * left) if isinstance(left, float) else left
    damaged = made.path.with_name("damaged.tar")
    damaged.write_bytes(whole[:keep])
    assert "is not whole" in refusal(damaged)


def test_what_follows_its_end_is_told(make):
    made = make()
    damaged = made.path.with_name("damaged.tar")
    damaged.write_bytes(made.bytes + b"\0")
    assert "the end is damaged: more follows it" in refusal(damaged)


def test_members_in_another_place_are_told(make):
    made = make(contents={"wheels/a": b"one", "wheels/b": b"two"})
    whole = made.bytes
    body = whole[-1024 - 2048 : -1024]
    damaged = made.path.with_name("damaged.tar")
    damaged.write_bytes(whole[: -1024 - 2048] + body[1024:] + body[:1024] + bytes(1024))
    assert "wheels/a is damaged: its header is another's" in refusal(damaged)


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\n"])
def test_no_member_leaves_the_directory(make, name):
    """Also where nobody has signed, and whoever made it was no friend."""
    made = make(key="", contents={"wheels/a": b"one"})
    member = contents.msgspec.structs.replace(made.manifest.members[0], name=name)
    manifest = contents.msgspec.structs.replace(made.manifest, members=(member,))
    with pytest.raises(ArtifactError, match="names a member that no bundle has"):
        contents.decode(contents.encode(manifest), "site.tar")


def test_what_is_no_bundle_is_told(tmp_path):
    file = tmp_path / "site.tar"
    file.write_bytes(os.urandom(4096))
    assert "is no bundle of romana-install" in refusal(file)


def test_a_file_that_changes_while_it_is_written_leaves_no_bundle(make, tmp_path):
    made = make()
    sources = {member.name: tmp_path / "other" for member in made.manifest.members}
    (tmp_path / "other").write_bytes(b"other")
    target = tmp_path / "new.tar"
    with pytest.raises(ArtifactError, match="changed while the bundle was made"):
        layout.write(target, made.manifest, b"", sources, lambda done, total: None)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_an_unpacked_bundle_that_was_changed_is_unpacked_again(make, tmp_path):
    made = make()
    directory = open_bundle(made.path, ANYONE, lambda event: None, tmp_path)
    image = directory / "images/pause.tar"
    sound = image.read_bytes()
    image.write_bytes(b"another")
    assert open_bundle(made.path, ANYONE, lambda event: None, tmp_path) == directory
    assert image.read_bytes() == sound


def test_the_oldest_unpacked_bundles_make_room(make, tmp_path):
    made = [make(kubernetes=f"v1.20.{number}") for number in range(4)]
    kept = [open_bundle(each.path, ANYONE, lambda event: None, tmp_path) for each in made]
    assert [path.exists() for path in kept] == [False, True, True, True]
