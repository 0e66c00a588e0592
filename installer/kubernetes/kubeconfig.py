"""Who we are to the API server and where it is: out of a kubeconfig file."""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from installer.errors import InstallerError

_ADVICE = "write it again: romana-install kubeconfig"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an API server: its URL, the authority that vouches for it, and a client
    certificate with its key (PEM). `server_name` is what the certificate must say, where it is not
    the URL's host."""

    server: str
    authority: bytes = field(repr=False)
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    server_name: str = ""

    def tls(self) -> ssl.SSLContext:
        """A context that trusts this authority only and shows our certificate."""
        context = ssl.create_default_context(cadata=self.authority.decode())
        # The library loads keys from files only; this one is ours alone and gone at once.
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(self.certificate + b"\n" + self.key)
            pair.flush()
            context.load_cert_chain(pair.name)
        return context


def read(path: Path) -> Access:
    """The current context of a kubeconfig.

    Raises:
        InstallerError: the file is missing or is no kubeconfig with a client certificate.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InstallerError(
            f"{path}: cannot be read: {error.strerror}", "install the cluster first"
        ) from error
    except yaml.YAMLError as error:
        raise InstallerError(f"{path}: is not YAML", _ADVICE) from error
    try:
        return _access(document, path.parent)
    except (KeyError, TypeError, StopIteration) as error:
        raise InstallerError(f"{path}: is not a complete kubeconfig ({error})", _ADVICE) from error
    except (binascii.Error, OSError) as error:
        raise InstallerError(f"{path}: {error}", _ADVICE) from error


def _access(document: Any, base: Path) -> Access:
    context = _named(document, "contexts", document["current-context"])["context"]
    cluster = _named(document, "clusters", context["cluster"])["cluster"]
    user = _named(document, "users", context["user"])["user"]
    return Access(
        server=cluster["server"].rstrip("/"),
        server_name=cluster.get("tls-server-name", ""),
        authority=_content(cluster, "certificate-authority", base),
        certificate=_content(user, "client-certificate", base),
        key=_content(user, "client-key", base),
    )


def _named(document: Any, kind: str, name: str) -> Any:
    return next(entry for entry in document[kind] if entry["name"] == name)


def _content(entry: Any, key: str, base: Path) -> bytes:
    if f"{key}-data" in entry:
        return base64.b64decode(str(entry[f"{key}-data"]), validate=True)
    return (base / str(entry[key])).read_bytes()
