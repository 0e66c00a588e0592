"""The cluster's certificates, keys and identities.

`ensure` makes or renews them in the cluster's state directory; `ephemeral` does so in memory;
`Credentials` holds them.
"""

from installer.pki.certificates import Pair
from installer.pki.credentials import (
    ADOPTABLE,
    Credentials,
    Expiry,
    adopt,
    ensure,
    ephemeral,
    exists,
    expiries,
)
from installer.pki.identities import AUTHORITIES, OPERATOR
from installer.pki.kubeconfig import kubeconfig

__all__ = [
    "ADOPTABLE",
    "AUTHORITIES",
    "OPERATOR",
    "Credentials",
    "Expiry",
    "Pair",
    "adopt",
    "ensure",
    "ephemeral",
    "exists",
    "expiries",
    "kubeconfig",
]
