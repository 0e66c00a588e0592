"""X.509 as values: an authority signs what a `Subject` describes. No files, no clock of its own.

ECDSA on P-256 throughout; authorities live ten years and leaves one, as kubeadm's do.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BELOW = 0.2
"""Share of its life below which a leaf is renewed."""
WARN_BELOW = timedelta(days=30)
"""What is left of a certificate's life when its end is something to tell the operator."""
_BACKDATED = timedelta(minutes=5)
"""Certificates begin a little in the past: hosts' clocks may be behind by what preflight admits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a leaf names and what it may be used for."""

    common_name: str
    organization: str = ""
    dns: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()
    server: bool = False
    client: bool = False


def new_key() -> bytes:
    """A fresh private key, PEM in the form that every TLS library of 2014 reads."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def public_key(key: bytes) -> bytes:
    """The public half of a private key, PEM."""
    return _load_key(key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: bytes) -> str:
    """The name by which a token says which private key has signed it: Kubernetes' own
    (keyIDFromPublicKey of pkg/serviceaccount, since v1.16)."""
    public = _load_key(key).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return urlsafe_b64encode(sha256(der).digest()).decode().rstrip("=")


def new_authority(common_name: str, now: datetime) -> Pair:
    """A self-signed certificate authority.

    Args:
        common_name: its name; kubeadm's are "kubernetes", "etcd-ca" and "front-proxy-ca".
        now: when it begins.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(name, name, key.public_key(), now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return Pair(certificate=certificate.public_bytes(Encoding.PEM), key=_key_pem(key))


def issue(authority: Pair, subject: Subject, now: datetime, life: timedelta = LEAF_LIFE) -> Pair:
    """A leaf signed by an authority; it never outlives the authority."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + life, issuer.not_valid_after_utc)
    builder = (
        _builder(_name(subject), issuer.subject, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_purposes(subject)), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
    )
    names = _alternative_names(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(_load_key(authority.key), hashes.SHA256())
    return Pair(certificate=certificate.public_bytes(Encoding.PEM), key=_key_pem(key))


def is_current(pair: Pair, subject: Subject, authority: Pair, now: datetime) -> bool:
    """Whether a leaf still says what it should, is signed by the authority, and has enough of its
    life left."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        certificate.subject == _name(subject)
        and _found_names(certificate) == set(_alternative_names(subject))
        and set(_found_purposes(certificate)) == set(_purposes(subject))
        and _signed_by(certificate, issuer)
        and begins <= now
        and (ends - now) > (ends - begins) * RENEW_BELOW
    )


def belongs_together(pair: Pair) -> bool:
    """Whether the certificate holds the public half of the key."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        return certificate.public_key() == _load_key(pair.key).public_key()
    except (ValueError, TypeError):
        return False


def is_authority(certificate: bytes) -> bool:
    """Whether a certificate may sign others."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate)
        return loaded.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def first(certificates: bytes) -> bytes:
    """The first of several certificates, PEM."""
    loaded = x509.load_pem_x509_certificates(certificates)
    return certificates if len(loaded) == 1 else loaded[0].public_bytes(Encoding.PEM)


def expires(certificate: bytes) -> datetime:
    """When a certificate ends, in UTC."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(ends)
    )


def _name(subject: Subject) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name)]
    if subject.organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.organization))
    return x509.Name(parts)


def _alternative_names(subject: Subject) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in subject.dns]
    return names + [x509.IPAddress(address) for address in subject.addresses]


def _purposes(subject: Subject) -> list[x509.ObjectIdentifier]:
    purposes = []
    if subject.server:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
    if subject.client:
        purposes.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    return purposes


def _found_names(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(found.value)


def _found_purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    # Another issuer's name, another kind of key, and a wrong signature each have a type of their
    # own.
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """By the authority's own identifier where it has one: an adopted authority may have computed
    it otherwise."""
    try:
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("only elliptic curve keys sign here")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
