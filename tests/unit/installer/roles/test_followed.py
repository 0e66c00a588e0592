"""What pods hold while authorities are rotated: which tokens count as signed by the present key,
and which copies of the certificate as old, by scripts that really run."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from installer.pki.certificates import new_key
from installer.resources import Condition
from installer.roles.role import Target
from installer.roles.rotation import followed

Targets = Callable[..., Target]


def conditions(target: Target, **changed: object) -> list[Condition]:
    wanted = replace(target, credentials=replace(target.credentials, **changed))  # type: ignore[arg-type]
    return [each for each in followed(wanted) if isinstance(each, Condition)]


def token(key: bytes) -> str:
    """A token as a secret holds it, with the header that Kubernetes gives it."""
    loaded = load_pem_private_key(key, password=None)
    public = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = base64.urlsafe_b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")
    header = json.dumps({"alg": "ES256", "kid": name}, separators=(",", ":")).encode()
    parts = (header, b'{"iss":"kubernetes/serviceaccount"}', b"signature")
    text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return base64.b64encode(text.encode()).decode()


def holds(condition: Condition, tmp_path: Path, kubectl: str = "", pods: str = "") -> bool:
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\n{kubectl}\n")
    (tmp_path / "kubectl").chmod(0o755)
    script = condition.probe().replace("/usr/local/bin/kubectl", str(tmp_path / "kubectl"))
    script = script.replace("/var/lib/kubelet", pods).replace("/etc/kubernetes/pki", str(tmp_path))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout == "yes\n"


def test_nothing_is_asked_of_a_cluster_whose_authorities_stay(target: Targets) -> None:
    assert conditions(target("c1")) == conditions(target("n1"), old_tokens=True) == []


def test_a_token_counts_by_the_key_that_it_names(target: Targets, tmp_path: Path) -> None:
    wanted = target("c1")
    (condition,) = conditions(wanted, old_tokens=True)
    fresh, old = token(wanted.credentials.service_account.key), token(new_key())
    for rows, expected in (
        (("default a " + fresh,), True),
        (("default a " + fresh, "default b " + old), False),
        (("default a <none>",), False),
        ((), True),
    ):
        listing = "\n".join(f"echo '{row}'" for row in rows)
        assert holds(condition, tmp_path, listing) == expected, rows
    assert not holds(condition, tmp_path, "exit 1"), "an API that does not answer says nothing"


@pytest.mark.parametrize(
    ("names", "content", "expected"),
    [
        (("ca.crt", "namespace", "token"), "new", True),
        (("ca.crt", "namespace", "token"), "old", False),
        (("ca.crt", "tls.key"), "somebody's own", True),
        ((), "", True),
    ],
)
def test_a_pod_counts_by_its_copy_of_the_certificate(
    target: Targets, tmp_path: Path, names: tuple[str, ...], content: str, expected: bool
) -> None:
    (condition,) = conditions(target("n1"), stage="trusting")
    (tmp_path / "ca.crt").write_text("new")
    held = tmp_path / "pods/1-2-3/volumes/kubernetes.io~secret/default-token"
    held.mkdir(parents=True)
    for name in names:
        (held / name).write_text(content)
    assert holds(condition, tmp_path, pods=str(tmp_path)) == expected
