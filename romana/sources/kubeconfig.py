"""The operator's identity and the API's address, out of a kubeconfig file."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from romana.sources.api import ApiAddress
from romana.sources.errors import SourceError

_OTHER_WAY = "use `kubectl apply -f` and `kubectl delete` with it instead"
_OWN = (Path("~/.kube/config"), Path("/etc/kubernetes/admin.conf"))
_PROGRAMS = ("exec", "auth-provider", "username")


def candidates() -> Iterator[Path]:
    """Where kubectl looks, and then where a host of the control plane has its own."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    yield from (Path(each) for each in named if each)
    yield from (path for each in _OWN if (path := each.expanduser()).exists())


@contextmanager
def api_address(path: Path) -> Iterator[ApiAddress]:
    """The API of the current context. Keys that the file holds itself are on disk, for their owner
    alone, while the context is open: TLS reads them from files only.

    Raises:
        SourceError: the file cannot be read, or proves the identity in a way that is not supported.
    """
    try:
        document = yaml.safe_load(path.read_text())
        cluster, user = _current(document)
        with TemporaryDirectory(prefix="romana-") as directory:
            yield _address(path, cluster, user, Path(directory))
    except OSError as error:
        raise SourceError(f"{error.filename or path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SourceError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{path}: is not a complete kubeconfig: {error}") from error
    except binascii.Error as error:
        raise SourceError(f"{path}: holds a key or certificate that is not base64") from error


def _current(document: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    context = _named(document, "context", document["current-context"])
    user = context.get("user")
    return _named(document, "cluster", context["cluster"]), (
        _named(document, "user", user) if user else {}
    )


def _named(document: Any, kind: str, name: str) -> dict[str, Any]:
    for entry in document[f"{kind}s"]:
        if entry["name"] == name:
            return dict(entry[kind])
    raise KeyError(f"{kind} {name}")


def _address(
    path: Path, cluster: Mapping[str, Any], user: Mapping[str, Any], directory: Path
) -> ApiAddress:
    if cluster.get("insecure-skip-tls-verify"):
        raise SourceError(f"{path}: does not verify the server; {_OTHER_WAY}")
    programs = [key for key in _PROGRAMS if user.get(key)]
    if programs:
        raise SourceError(f"{path}: proves who you are by `{programs[0]}`; {_OTHER_WAY}")
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = (path.parent / str(user["tokenFile"])).read_text().strip()
    return ApiAddress(
        servers=(str(cluster["server"]),),
        ca=_file(path, cluster, "certificate-authority", directory),
        certificate=_file(path, user, "client-certificate", directory),
        key=_file(path, user, "client-key", directory),
        token=token,
        server_name=str(cluster.get("tls-server-name") or ""),
    )


def _file(path: Path, entry: Mapping[str, Any], key: str, directory: Path) -> Path | None:
    """The file that holds a key or certificate; relative names are beside the kubeconfig."""
    data = entry.get(f"{key}-data")
    if data:
        written = directory / key
        written.touch(mode=0o600)
        written.write_bytes(base64.b64decode(str(data), validate=True))
        return written
    return path.parent / str(entry[key]) if entry.get(key) else None
