"""Other authorities in the place of a cluster's own, and another key for tokens, in stages between
which a run of all hosts lies:

- trusting: the new ones are made, and trusted everywhere beside the old, which go on issuing;
- issuing: the new ones issue, every leaf is theirs; the old are still trusted, for whoever runs on
  with a leaf of theirs;
- distrusting: the old are forgotten.

The stage is one file below `pki/rotation`, which is written last; whatever follows from it is done
again until it is done, so that a run that was killed is continued by the next. Tokens of service
accounts live on in pods: the public half of the key that signed them is accepted for a day longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from installer.pki.certificates import expires, new_authority, new_key, public_key
from installer.pki.identities import AUTHORITIES, AuthorityName
from installer.pki.store import Directory

Stage = Literal["", "trusting", "issuing", "distrusting"]
"""Empty where nothing is being rotated."""
STAGES: tuple[Stage, ...] = ("trusting", "issuing", "distrusting")
ACCEPTED_FOR = timedelta(days=1)
"""Kubelets renew the tokens of pods within an hour, and clients read them anew every minute."""
SERVICE_ACCOUNT = "sa.key"
_FOLDER = "rotation"
_STAGE = f"{_FOLDER}/stage"
_OLD_KEYS = "sa.old.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What hosts believe beside what issues: certificates of authorities by name, PEM, and public
    halves of keys that have signed tokens or will."""

    authorities: Mapping[AuthorityName, bytes]
    keys: bytes
    stage: Stage


def steps(stage: Stage, until: Stage, *, ended: bool) -> tuple[Stage, ...]:
    """The stages to go through, a complete run in each. The one that has been entered comes again:
    whether its run was complete, nobody can tell. Pure.

    Args:
        stage: where the cluster is.
        until: the last to enter.
        ended: an authority's life has ended: nothing that it has issued is worth trusting, and
            nothing can be lost by leaving out what comes before the last stage.
    """
    if ended and stage != "issuing":
        return ("distrusting",)
    begin = STAGES.index(stage) if stage else 0
    return STAGES[begin : STAGES.index(until) + 1]


def read_stage(store: Directory) -> Stage:
    """Where the cluster is."""
    word = (store.read(_STAGE) or b"").decode().strip()
    return next((each for each in get_args(Stage) if each == word), "")


def ended(store: Directory, now: datetime) -> bool:
    """Whether the life of an authority that issues has ended."""
    held = (store.read(f"{each.path}.crt") for each in AUTHORITIES)
    return any(expires(certificate) <= now for certificate in held if certificate is not None)


def enter(store: Directory, stage: Stage, now: datetime) -> None:
    """Makes what a stage needs, and then has the cluster be in it."""
    if read_stage(store) == "":
        _make(store, now)
    if stage != "trusting":
        _note_old_key(store, now)
    store.write(_STAGE, stage.encode())


def settle(store: Directory) -> None:
    """Brings the directory into the form of its stage: from `issuing` on, what was made is what
    issues."""
    if read_stage(store) in ("", "trusting"):
        return
    for each in AUTHORITIES:
        _replace(store, f"{each.path}.crt", f"{each.path}.key")
    _replace(store, SERVICE_ACCOUNT)


def end(store: Directory) -> None:
    """The run of the last stage was complete: nothing of the rotation is left but the old key."""
    settle(store)
    store.remove(_STAGE)
    for name in _names("old"):
        store.remove(name)


def trust(store: Directory, now: datetime) -> Trust:
    """What is believed beside what issues."""
    stage = read_stage(store)
    folder = {"trusting": "new", "issuing": "old"}.get(stage)
    found = {
        each.name: (store.read(f"{_FOLDER}/{folder}/{each.path}.crt") or b"") if folder else b""
        for each in AUTHORITIES
    }
    keys = [key for key, until in old_keys(store).items() if until > now]
    coming = store.read(f"{_FOLDER}/new/{SERVICE_ACCOUNT}") if stage == "trusting" else None
    if coming is not None:
        keys.append(public_key(coming).decode())
    return Trust(authorities=found, keys="".join(keys).encode(), stage=stage)


def old_keys(store: Directory) -> dict[str, datetime]:
    """Public halves of keys that signed tokens before, and until when they are accepted."""
    data: Mapping[str, str] = json.loads(store.read(_OLD_KEYS) or b"{}")
    return {key: datetime.fromisoformat(until) for key, until in data.items()}


def accept(store: Directory, key: bytes, now: datetime) -> None:
    """Has tokens that this private key has signed accepted for a while."""
    known = {each: until for each, until in old_keys(store).items() if until > now}
    known.setdefault(public_key(key).decode(), now + ACCEPTED_FOR)
    data = {each: until.isoformat() for each, until in known.items()}
    store.write(_OLD_KEYS, json.dumps(data).encode())


def _make(store: Directory, now: datetime) -> None:
    """What a rotation that was killed before its stage was written has made is made anew: nobody
    has seen it."""
    for each in AUTHORITIES:
        pair = new_authority(each.common_name, now)
        store.write(f"{_FOLDER}/new/{each.path}.crt", pair.certificate)
        store.write(f"{_FOLDER}/new/{each.path}.key", pair.key)
    store.write(f"{_FOLDER}/new/{SERVICE_ACCOUNT}", new_key())
    for name in _names("old"):
        store.remove(name)


def _note_old_key(store: Directory, now: datetime) -> None:
    """Before another one takes its place; where that has happened, it is noted already."""
    held = store.read(SERVICE_ACCOUNT)
    if held is not None and store.read(f"{_FOLDER}/new/{SERVICE_ACCOUNT}") is not None:
        accept(store, held, now)


def _replace(store: Directory, *names: str) -> None:
    """Puts what was made in the place of what was there, which is kept as old. Killed at any
    point, it goes on where it was: the new files go last, when all has its place."""
    made = {name: store.read(f"{_FOLDER}/new/{name}") for name in names}
    if None in made.values():
        return
    for name in names:
        if store.read(f"{_FOLDER}/old/{name}") is None and (held := store.read(name)) is not None:
            store.write(f"{_FOLDER}/old/{name}", held)
    for name, content in made.items():
        assert content is not None
        store.write(name, content)
    for name in names:
        store.remove(f"{_FOLDER}/new/{name}")


def _names(folder: str) -> tuple[str, ...]:
    files = (f"{each.path}.{half}" for each in AUTHORITIES for half in ("crt", "key"))
    return tuple(f"{_FOLDER}/{folder}/{name}" for name in (*files, SERVICE_ACCOUNT))
