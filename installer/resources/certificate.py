"""A file that holds a certificate, told of by how long the certificate lives."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal

from cryptography import x509

from installer.resources.base import Change
from installer.resources.file import File, unified
from installer.resources.shell import quote, sha256

Form = Literal["pem", "kubeconfig"]
_MARK = "\ncertificate "
_SHOW: dict[Form, str] = {
    "pem": "sed -n '/BEGIN CERT/,/END CERT/p' {0} | sed '/END CERT/q' | base64 | tr -d '\\n'",
    "kubeconfig": "sed -n 's/^ *client-certificate-data: *//p' {0} | sed 1q",
}
"""Sh text that prints the certificate in a file, as base64 of PEM."""


@dataclass(frozen=True, slots=True)
class Certificate(File):
    """A file whose change is told in dates and names in place of digests, so that a plan says which
    certificates it renews. Keys beside the certificate stay unseen.

    Args:
        certificate: the certificate in it, PEM.
        form: how it lies there.
    """

    _: KW_ONLY
    certificate: bytes = field(repr=False)
    form: Form = "pem"

    def probe(self) -> str:
        """Prints what a file's probe does, then the certificate where the file differs."""
        show = _SHOW[self.form].format(quote(self.path))
        return (
            f'seen=$(\n{File.probe(replace(self, secret=True))})\necho "$seen"\n'
            f'case "$seen" in *{sha256(self.data)}*) ;;\n'
            f'*) echo "certificate $({show} 2>/dev/null)" ;; esac\n'
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """A file's change, in words of the certificates before and after."""
        text, _, encoded = seen.partition(_MARK)
        change = File.compare(self, text, changing)
        old, new = _read(encoded), x509.load_pem_x509_certificate(self.certificate)
        if change is None or not change.files:
            return change
        return replace(
            change,
            before=f"valid until {_ends(old)}" if old else change.before,
            after=f"{_word(old, new)} until {_ends(new)}",
            diff=unified(self.path, _line(old) if old else "", _line(new)),
        )


def _read(encoded: str) -> x509.Certificate | None:
    """None where the file holds no certificate."""
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(encoded))
    except (ValueError, binascii.Error):
        return None


def _word(old: x509.Certificate | None, new: x509.Certificate) -> str:
    if old is None or old.issuer != new.issuer or old.subject != new.subject:
        return "valid"
    renewed = old.not_valid_after_utc < new.not_valid_after_utc
    return "renewed" if renewed else "issued anew, valid"


def _ends(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


def _line(certificate: x509.Certificate) -> str:
    """All that may differ, in one line."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        f"{certificate.subject.rfc4514_string()}, valid {begins:%Y-%m-%d %H:%M} to "
        f"{ends:%Y-%m-%d %H:%M}, number {certificate.serial_number:x}, "
        f"issued by {certificate.issuer.rfc4514_string()}\n"
    )
