"""Whose bundles are taken: those that somebody listed has signed, and no others by chance."""

import subprocess
from pathlib import Path

import pytest

from installer.bundle.signature import NAMESPACE, Trust, judge, sign
from installer.errors import ArtifactError

TEXT = b"what is signed"


@pytest.fixture
def signature(keys: Path) -> bytes:
    return sign(TEXT, keys / "maker")


@pytest.fixture(autouse=True)
def no_signers_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def refused(signature: bytes, trust: Trust, text: bytes = TEXT) -> str:
    with pytest.raises(ArtifactError) as error:
        judge(text, signature, trust, "site.tar")
    assert error.value.advice
    return error.value.message


def listed(keys: Path, line: str) -> Path:
    file = keys / "signers"
    file.write_text(f"# who may sign\n{line.format(key=(keys / 'maker.pub').read_text())}\n")
    return file


@pytest.mark.parametrize(
    "line",
    ["{key}", "maker@site {key}", '*@site namespaces="romana-bundle,git" {key}', "a,maker {key}"],
)
def test_a_public_key_or_a_list_of_signers_says_who_is_trusted(keys, signature, line):
    signer = judge(TEXT, signature, Trust(keys=listed(keys, line)), "site.tar")
    fingerprint = subprocess.run(
        ("ssh-keygen", "-lf", str(keys / "maker.pub")), capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert fingerprint in signer


@pytest.mark.parametrize(
    "line",
    [
        "",
        'maker namespaces="git" {key}',
        'maker valid-before="20200101" {key}',
        "maker cert-authority {key}",
    ],
)
def test_a_signer_who_is_not_listed_for_bundles_today_is_refused(keys, signature, line):
    said = refused(signature, Trust(keys=listed(keys, line)))
    assert "signed by SHA256:" in said
    assert f"does not list for {NAMESPACE}" in said


def test_the_users_own_list_counts_where_none_is_named(keys, signature, tmp_path):
    assert "whom nobody knows here" in refused(signature, Trust())
    own = tmp_path / "config/romana/allowed_signers"
    own.parent.mkdir(parents=True)
    own.write_text(f"ops@site {(keys / 'maker.pub').read_text()}")
    assert judge(TEXT, signature, Trust(), "site.tar").startswith("ops@site (SHA256:")


def test_no_signature_is_refused_unless_it_is_said_that_anyones_is_taken(keys):
    assert refused(b"", Trust(keys=keys / "maker.pub")) == "site.tar: is not signed"
    assert judge(TEXT, b"", Trust(anyone=True), "site.tar") == ""


def test_a_signature_of_something_else_is_refused_whoever_is_taken(keys, signature):
    for trust in (Trust(anyone=True), Trust(keys=keys / "maker.pub")):
        assert "is not a signature of its manifest" in refused(signature, trust, b"other")


def test_one_made_for_another_purpose_is_refused(keys, tmp_path):
    mail = tmp_path / "mail"
    mail.write_bytes(TEXT)
    words = ("-Y", "sign", "-f", str(keys / "maker"), "-n", "git", str(mail))
    subprocess.run(("ssh-keygen", *words), check=True, capture_output=True)
    foreign = Path(f"{mail}.sig").read_bytes()
    assert "is not a signature" in refused(foreign, Trust(keys=keys / "maker.pub"))


def test_a_key_that_cannot_sign_is_told(tmp_path):
    key = tmp_path / "key"
    key.write_text("no key")
    with pytest.raises(ArtifactError, match="cannot be signed with it"):
        sign(TEXT, key)


def test_a_list_that_is_not_there_is_told(signature, tmp_path):
    assert "there is no such file" in refused(signature, Trust(keys=tmp_path / "none"))
