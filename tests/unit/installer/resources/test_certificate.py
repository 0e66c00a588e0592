"""A file that holds a certificate, on a host that really executes: what a plan says of it."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import pytest

from installer.engine.plan import judge, probe
from installer.engine.script import payloads, repairs, sections
from installer.hosts.fake import FakeHost
from installer.pki import kubeconfig
from installer.pki.certificates import Pair, Subject, issue, new_authority
from installer.resources import Certificate, Change

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
AUTHORITY = new_authority("kubernetes", NOW - timedelta(days=700))
OTHER = new_authority("kubernetes-2", NOW)
WHO = Subject(common_name="system:node:n1", organization="system:nodes", client=True)
OLD = issue(AUTHORITY, WHO, NOW - timedelta(days=360))
NEW = issue(AUTHORITY, WHO, NOW)


@dataclass(frozen=True)
class Form:
    """A way in which a certificate lies in a file."""

    secret: bool = False
    form: str = "pem"

    def file(self, pair: Pair) -> Certificate:
        content = pair.certificate + (pair.key if self.secret else b"")
        if self.form == "kubeconfig":
            content = kubeconfig(
                cluster="t",
                server="https://a:1",
                authority=AUTHORITY.certificate,
                user="u",
                identity=pair,
            ).encode()
        return Certificate(
            "/etc/n1",
            content,
            certificate=pair.certificate,
            form=self.form,
            secret=self.secret,
            mode=0o600,
        )


FORMS = {
    "alone": Form(),
    "beside its key": Form(secret=True),
    "in a kubeconfig": Form(secret=True, form="kubeconfig"),
}


def look(host: FakeHost, wanted: Certificate) -> Change | None:
    verdict = judge(wanted, probe(host, [wanted])[0], set())
    assert not verdict.error
    return verdict.change


def mend(host: FakeHost, change: Change) -> None:
    output = host.run(repairs([change], "marker"), files=payloads([change]))
    assert sections(output.stdout, "marker")[0].status == 0, output


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_plan_tells_until_when_and_shows_no_key(host: FakeHost, form: Form) -> None:
    first = look(host, form.file(OLD))
    assert first is not None
    assert (first.before, first.after) == ("absent", "valid until 2026-11-29")
    mend(host, first)
    assert look(host, form.file(OLD)) is None
    renewal = look(host, form.file(NEW))
    assert renewal is not None
    assert renewal.before == "valid until 2026-11-29"
    assert renewal.after == "renewed until 2027-11-24"
    assert "-CN=system:node:n1,O=system:nodes, valid 2025-11-29" in renewal.diff
    assert "PRIVATE" not in renewal.diff
    mend(host, renewal)
    assert look(host, form.file(NEW)) is None


def test_what_is_no_renewal_is_not_called_one(host: FakeHost) -> None:
    alone = FORMS["alone"]
    mend(host, look(host, alone.file(NEW)))  # type: ignore[arg-type]
    moved = look(host, alone.file(issue(OTHER, WHO, NOW)))
    again = look(host, alone.file(issue(AUTHORITY, WHO, NOW)))
    assert moved is not None
    assert moved.after == "valid until 2027-11-24"
    assert "issued by CN=kubernetes-2" in moved.diff
    assert again is not None
    assert again.after == "issued anew, valid until 2027-11-24"


def test_what_is_no_certificate_and_other_access_are_told_as_of_any_file(host: FakeHost) -> None:
    wanted = FORMS["alone"].file(NEW)
    (host.root / "etc").mkdir(exist_ok=True)
    (host.root / "etc/n1").write_text("nonsense\n")
    change = look(host, wanted)
    assert change is not None
    assert change.before == hashlib.sha256(b"nonsense\n").hexdigest()[:12]
    mend(host, change)
    access = look(host, replace(wanted, mode=0o644))
    assert access is not None
    assert (access.before.split()[0], access.after.split()[0]) == ("600", "644")
