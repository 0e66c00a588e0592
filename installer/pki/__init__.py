"""The cluster's certificates, keys and identities.

`ensure` makes or renews them in the cluster's state directory; `Credentials` holds them; `adopt`
restores a lost state directory from a controller.
"""

from installer.pki.certificates import WARN_BELOW, Pair
from installer.pki.credentials import (
    ADOPTABLE,
    Credentials,
    Expiry,
    adopt,
    directory,
    ensure,
    exists,
    expiries,
    kept,
    operator,
)
from installer.pki.identities import AUTHORITIES, OPERATOR
from installer.pki.kubeconfig import kubeconfig

__all__ = [
    "ADOPTABLE",
    "AUTHORITIES",
    "OPERATOR",
    "WARN_BELOW",
    "Credentials",
    "Expiry",
    "Pair",
    "adopt",
    "directory",
    "ensure",
    "exists",
    "expiries",
    "kept",
    "kubeconfig",
    "operator",
]
