"""Who signed a bundle: SSH signatures, as ssh-keygen makes and checks them (PROTOCOL.sshsig).

Operators have SSH keys, in files, agents and hardware tokens, and know how to pass their public
halves on; the list of who may sign is the `allowed_signers` file that git uses too (ssh-keygen(1),
ALLOWED SIGNERS). ssh-keygen does all of the cryptography.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from installer.errors import ArtifactError

NAMESPACE = "romana-bundle"
"""What the signature is for: one made for mail or for a commit is none for a bundle."""
_BEGIN, _END, _WIDTH = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----", 70
_KEY_LINE = re.compile(r"(ssh-|sk-|ecdsa-)\S+ AAAA\S+")
_FINGERPRINT = re.compile(r"key (SHA256:\S+)")
_LIMIT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose bundles are taken.

    Args:
        keys: a public key, or an allowed_signers file; None for this user's own,
            `~/.config/romana/allowed_signers`.
        anyone: take one that is not signed, or by someone unknown. A signature that is there has to
            be sound all the same.
    """

    keys: Path | None = None
    anyone: bool = False


def default_signers() -> Path:
    """Where this user keeps the list of who may sign."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "romana" / "allowed_signers"


def sign(text: bytes, key: Path) -> bytes:
    """A signature over some text. Asks for a passphrase on the terminal where the key has one.

    Args:
        text: what is signed.
        key: a private key, or a public one whose private half is in the SSH agent.

    Raises:
        ArtifactError: it cannot be signed; says what ssh-keygen says.
    """
    with tempfile.TemporaryDirectory(prefix="romana-sign-") as work:
        message = Path(work, "manifest")
        message.write_bytes(text)
        done = _keygen("sign", "-f", str(key), "-n", NAMESPACE, str(message))
        signature = message.with_name("manifest.sig")
        if done.returncode or not signature.exists():
            raise ArtifactError(
                f"{key}: the bundle cannot be signed with it: {_last(done)}",
                "give --sign a private SSH key, or a public one that the agent has",
            )
        return _armored(signature.read_bytes()) or signature.read_bytes()


def judge(text: bytes, signature: bytes, trust: Trust, origin: str) -> str:
    """Who signed: the name that the list of signers gives them and the key's fingerprint; empty
    for nobody.

    Args:
        text: what is signed.
        signature: over it; empty where there is none.
        trust: whose signature counts.
        origin: the bundle, for messages.

    Raises:
        ArtifactError: it is not to be trusted; says why.
    """
    if not signature:
        if trust.anyone:
            return ""
        raise ArtifactError(
            f"{origin}: is not signed",
            "have who made it sign it (romana-install bundle --sign KEY), or take it as it is: "
            "--bundle-from-anyone",
        )
    fingerprint = _sound(text, signature, origin)
    signers = trust.keys or default_signers()
    if trust.keys is not None and not signers.is_file():
        raise ArtifactError(f"{signers}: there is no such file", "name a public key: --bundle-key")
    name = _listed(text, signature, signers) if signers.is_file() else ""
    if not name and not trust.anyone:
        who = (
            f"{signers} does not list for {NAMESPACE}" if signers.is_file() else "nobody knows here"
        )
        raise ArtifactError(
            f"{origin}: is signed by {fingerprint}, whom {who}",
            "compare that with what its maker says, then give the key: --bundle-key FILE",
        )
    return f"{name or 'an unknown signer'} ({fingerprint})"


def _sound(text: bytes, signature: bytes, origin: str) -> str:
    """The fingerprint of the key of a signature that is what it says."""
    wrong = ArtifactError(
        f"{origin}: manifest.json.sig is not a signature of its manifest.json: one of both was "
        "changed",
        "get the bundle again; nothing was touched",
    )
    # ssh-keygen overlooks what stands between the lines; a bundle has no byte that does not count.
    if _armored(signature) != signature:
        raise wrong
    done = _checked(text, signature, "check-novalidate")
    found = _FINGERPRINT.search(done.stdout)
    if done.returncode or not found:
        raise wrong
    return found[1]


def _listed(text: bytes, signature: bytes, signers: Path) -> str:
    """The name under which a list has the key, for this purpose and today; empty for none."""
    content = signers.read_text(errors="replace")
    with tempfile.TemporaryDirectory(prefix="romana-sign-") as work:
        known = Path(work, "signers")
        known.write_text("".join(_signer(line) for line in content.splitlines()))
        found = _checked(text, signature, "find-principals", "-f", str(known))
        for name in found.stdout.splitlines() if found.returncode == 0 else ():
            if _checked(text, signature, "verify", "-f", str(known), "-I", name).returncode == 0:
                return name.strip()
    return ""


def _signer(line: str) -> str:
    """A line of allowed_signers; a bare public key counts as one, named after its comment."""
    if not _KEY_LINE.match(line.strip()):
        return line + "\n"
    kind, key, *comment = line.split(maxsplit=2)
    name = re.sub(r"[^\w.@-]", "-", comment[0]) if comment else "key"
    return f'{name} namespaces="{NAMESPACE}" {kind} {key}\n'


def _armored(signature: bytes) -> bytes:
    """The signature as ssh-keygen writes it; empty where it is none."""
    lines = signature.decode("ascii", "replace").split("\n")
    try:
        blob = base64.b64decode("".join(lines[1:-2]), validate=True)
    except (binascii.Error, ValueError):
        return b""
    text = base64.b64encode(blob).decode()
    rows = [text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)]
    return "\n".join((_BEGIN, *rows, _END, "")).encode()


def _checked(
    text: bytes, signature: bytes, verb: str, *words: str
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="romana-sign-") as work:
        file = Path(work, "signature")
        file.write_bytes(signature)
        return _keygen(verb, *words, "-n", NAMESPACE, "-s", str(file), text=text)


def _keygen(verb: str, *words: str, text: bytes | None = None) -> subprocess.CompletedProcess[str]:
    command = ("ssh-keygen", "-Y", verb, *words)
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            timeout=None if text is None else _LIMIT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ArtifactError(
            "ssh-keygen is not on this machine, and bundles are signed and checked with it",
            "install openssh-client (8.2 or newer)",
        ) from None
    return subprocess.CompletedProcess(
        command,
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
