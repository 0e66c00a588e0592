"""kubeconfig files: an identity, the authority that vouches for the server, and where the server
is."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import yaml

from installer.pki.certificates import Pair

# libyaml's where there is one: a run renders hundreds of these files, with 5 KiB of base64 each.
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def kubeconfig(
    *, cluster: str, server: str, authority: bytes, user: str, identity: Pair, server_name: str = ""
) -> str:
    """A kubeconfig with everything in it, so that one file of mode 0600 is all that has to be kept
    secret.

    Args:
        cluster: the cluster's name, shown by kubectl.
        server: the API server's URL.
        authority: certificates of those who may have signed the server's, PEM.
        user: the name under which the identity appears.
        identity: the client certificate and its key.
        server_name: what the server's certificate says, where that is not the URL's host.
    """
    context = f"{user}@{cluster}"
    return yaml.dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {
                        "server": server,
                        **({"tls-server-name": server_name} if server_name else {}),
                        "certificate-authority-data": _base64(authority),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _base64(identity.certificate),
                        "client-key-data": _base64(identity.key),
                    },
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
            "current-context": context,
        },
        Dumper=_DUMPER,
        sort_keys=False,
    )


def _base64(pem: bytes) -> str:
    return b64encode(pem).decode()
