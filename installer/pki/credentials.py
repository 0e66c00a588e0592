"""All secrets of a cluster as one value, made once and kept: `ensure` is idempotent.

`ensure` makes what is missing and renews a leaf whose names changed, whose authority is another,
or that has under a fifth of its life left. Everything else stays as it is, byte for byte, so that
a second run changes nothing on any host.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from installer.cluster import Cluster
from installer.errors import InstallerError
from installer.pki import rotation
from installer.pki.certificates import (
    Pair,
    Subject,
    belongs_together,
    expires,
    first,
    is_authority,
    is_current,
    issue,
    new_authority,
    new_key,
    public_key,
    utc_now,
)
from installer.pki.identities import (
    ADMINISTRATOR,
    AUTHORITIES,
    OPERATOR,
    AuthorityName,
    Leaf,
    leaves,
)
from installer.pki.rotation import SERVICE_ACCOUNT, Stage
from installer.pki.store import Directory

_ENCRYPTION = "encryption.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The secrets of one cluster.

    `encryption_key` is the base64 of 32 random bytes, for the `secretbox` provider of encryption
    at rest. `authorities` issue, `trusted` are the certificates to believe, PEM, which are more
    while authorities are rotated; `service_account` signs tokens, and its certificate is all the
    public keys whose tokens are accepted. `stage` is the rotation's.
    """

    authorities: Mapping[AuthorityName, Pair]
    issued: Mapping[tuple[str, str], Pair]
    trusted: Mapping[AuthorityName, bytes]
    service_account: Pair
    old_tokens: bool
    """Whether there may be tokens that another key has signed."""
    encryption_key: str
    stage: Stage = ""

    def __repr__(self) -> str:
        """Without a secret, whatever prints it."""
        return f"Credentials({len(self.issued)} certificates)"

    def leaf(self, host: str, name: str) -> Pair:
        """A host's certificate by its name in `identities.leaves`; `OPERATOR` for the operator's
        own."""
        return self.issued[host, name]

    @property
    def admin(self) -> Pair:
        """The operator's own identity."""
        return self.issued[OPERATOR, "admin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When one certificate ends. `host` is empty for authorities and for the operator's."""

    host: str
    name: str
    ends: datetime


def ensure(cluster: Cluster, now: datetime | None = None) -> Credentials:
    """The cluster's credentials, made or renewed where needed and kept in its state directory.

    Args:
        cluster: names, addresses and the state directory.
        now: the time; the clock's where it is left out.

    Raises:
        InstallerError: a kept file is damaged, or an authority's life has ended.
    """
    store, time = directory(cluster), now or utc_now()
    rotation.settle(store)
    trust = rotation.trust(store, time)
    key, encryption = _secrets(store)
    authorities = {
        authority.name: _authority(store, authority.path, authority.common_name, time)
        for authority in AUTHORITIES
    }
    return Credentials(
        authorities=authorities,
        issued={
            (leaf.host, leaf.name): _leaf(store, leaf, authorities[leaf.authority], time)
            for leaf in leaves(cluster)
        },
        trusted={
            name: pair.certificate + trust.authorities[name] for name, pair in authorities.items()
        },
        service_account=Pair(certificate=public_key(key) + trust.keys, key=key),
        old_tokens=bool(trust.keys) and trust.stage != "trusting",
        stage=trust.stage,
        encryption_key=encryption,
    )


def operator(credentials: Credentials, life: timedelta, now: datetime) -> Pair:
    """The administrator's identity for somebody who is to have it for a while only; it is kept
    nowhere.

    Args:
        credentials: of the cluster.
        life: for how long, from now on.
        now: the time.
    """
    return issue(credentials.authorities["kubernetes"], ADMINISTRATOR.subject, now, life)


def exists(cluster: Cluster) -> bool:
    """Whether the state directory holds the cluster's main authority."""
    return directory(cluster).read("ca.key") is not None


ADOPTABLE = (
    *(f"{authority.path}.{half}" for authority in AUTHORITIES for half in ("crt", "key")),
    SERVICE_ACCOUNT,
)
"""Files below /etc/kubernetes/pki of a controller from which a lost state directory can be
restored."""


def adopt(cluster: Cluster, files: Mapping[str, bytes], encryption_key: str) -> None:
    """Restore a lost state directory from what a controller holds. Leaves are issued anew by
    `ensure`.

    Args:
        cluster: whose state directory it is; it must not have an authority.
        files: content by name, all of `ADOPTABLE`, as read below /etc/kubernetes/pki.
        encryption_key: base64 as in the host's encryption configuration.

    Raises:
        InstallerError: there is an authority already, or the files are not a cluster's.
    """
    if exists(cluster):
        raise InstallerError(f"{cluster.state}: already holds the cluster's authority")
    for name in ADOPTABLE:
        if name not in files:
            raise InstallerError(f"cannot restore cluster {cluster.name}: {name} is missing")
    store = directory(cluster)
    for authority in AUTHORITIES:
        pair = Pair(certificate=files[f"{authority.path}.crt"], key=files[f"{authority.path}.key"])
        if not (is_authority(pair.certificate) and belongs_together(pair)):
            raise InstallerError(
                f"cannot restore cluster {cluster.name}: {authority.path}.crt is no authority "
                "or its key is another's"
            )
    store.write(_ENCRYPTION, encryption_key.encode())
    # The main authority goes last: its key is what says that the directory is complete.
    for name in sorted(ADOPTABLE, key=lambda name: name == "ca.key"):
        store.write(name, files[name])


def kept(cluster: Cluster) -> tuple[Expiry, ...]:
    """When everything ends that the state directory holds, the soonest first; nothing is made or
    renewed. So a run tells what hosts hold as long as it has not changed them."""
    store = directory(cluster)
    named = [("", f"{each.name} authority", each.path) for each in AUTHORITIES]
    named += [(leaf.host, leaf.name, _path(leaf)) for leaf in leaves(cluster)]
    found = []
    for host, name, path in named:
        certificate = store.read(f"{path}.crt")
        if certificate is not None:
            found.append(Expiry(host=host, name=name, ends=expires(certificate)))
    return _sorted(found)


def expiries(credentials: Credentials) -> tuple[Expiry, ...]:
    """When everything ends, the soonest first."""
    found = [
        Expiry(host="", name=f"{name} authority", ends=expires(pair.certificate))
        for name, pair in credentials.authorities.items()
    ]
    found += [
        Expiry(host=host, name=name, ends=expires(pair.certificate))
        for (host, name), pair in credentials.issued.items()
    ]
    return _sorted(found)


def _sorted(found: Iterable[Expiry]) -> tuple[Expiry, ...]:
    return tuple(sorted(found, key=lambda expiry: (expiry.ends, expiry.host, expiry.name)))


def directory(cluster: Cluster) -> Directory:
    """Where the cluster's secrets are kept on this machine."""
    return Directory(cluster.state / "pki")


def _secrets(store: Directory) -> tuple[bytes, str]:
    """The key that signs tokens, and the one that encrypts what etcd holds."""
    key = store.read(SERVICE_ACCOUNT)
    if key is None:
        key = new_key()
        store.write(SERVICE_ACCOUNT, key)
    encryption = store.read(_ENCRYPTION)
    if encryption is None:
        encryption = b64encode(os.urandom(32))
        store.write(_ENCRYPTION, encryption)
    return key, encryption.decode().strip()


def _authority(store: Directory, path: str, common_name: str, now: datetime) -> Pair:
    certificate, key = store.read(f"{path}.crt"), store.read(f"{path}.key")
    if certificate is None or key is None:
        # Only a run that was killed between the two leaves one of them: nothing was signed by it
        # yet.
        pair = new_authority(common_name, now)
        store.write(f"{path}.crt", pair.certificate)
        store.write(f"{path}.key", pair.key)
        return pair
    # A controller's file may hold others beside it, from the midst of a rotation.
    pair = Pair(certificate=first(certificate), key=key)
    if not belongs_together(pair):
        raise InstallerError(
            f"the authority {path}.crt and its key do not belong together",
            "restore the cluster's state directory from a backup, or move its pki folder away to "
            "take the authority from a controller",
        )
    if expires(pair.certificate) <= now:
        raise InstallerError(
            f"the authority {path}.crt has ended on {expires(pair.certificate):%Y-%m-%d}: nothing "
            "that it issues is valid",
            "make another one: romana-install rotate-ca",
        )
    return pair


def _leaf(store: Directory, leaf: Leaf, authority: Pair, now: datetime) -> Pair:
    path = _path(leaf)
    certificate, key = store.read(f"{path}.crt"), store.read(f"{path}.key")
    if certificate is not None and key is not None:
        pair = Pair(certificate=certificate, key=key)
        if _is_sound(pair, leaf.subject, authority, now):
            return pair
    pair = issue(authority, leaf.subject, now)
    # A kill between the two leaves halves that do not match; `_is_sound` finds out and both are
    # made anew.
    store.write(f"{path}.key", pair.key)
    store.write(f"{path}.crt", pair.certificate)
    return pair


def _path(leaf: Leaf) -> str:
    return f"hosts/{leaf.host}/{leaf.name}" if leaf.host else leaf.name


def _is_sound(pair: Pair, subject: Subject, authority: Pair, now: datetime) -> bool:
    return belongs_together(pair) and is_current(pair, subject, authority, now)
