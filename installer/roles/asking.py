"""Sh text that asks an HTTP endpoint of the host itself, for the question whether a service is
ready."""

from __future__ import annotations


def curl(url: str, *, authority: str = "", certificate: str = "", key: str = "") -> str:
    """A curl that succeeds with an answer of 2xx and prints it.

    Args:
        url: what to ask.
        authority: file of the authority that vouches for the server.
        certificate: file of the client's certificate.
        key: file of its key; not needed where the certificate's file holds it too.
    """
    words = ["curl -fsS --noproxy '*' --max-time 3"]
    words += [f"--cacert {authority}"] if authority else []
    words += [f"--cert {certificate}"] if certificate else []
    words += [f"--key {key}"] if key else []
    return " ".join([*words, f"'{url}'"])
