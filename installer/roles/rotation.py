"""What pods hold of the cluster's authorities and keys, while those are rotated: their copies of
the certificate and their tokens follow the control plane's, and the next stage must not come
before they do."""

from __future__ import annotations

from collections.abc import Iterator

from installer.pki.certificates import key_id
from installer.resources import Condition, Resource
from installer.roles.pki import ADMIN_KUBECONFIG, CA
from installer.roles.programs import BIN
from installer.roles.role import Target

_VOLUMES = "/var/lib/kubelet/pods/*/volumes/kubernetes.io~*/*/"
_FOLLOWING_S = 240
"""A kubelet renews what pods hold of secrets within some 90 s."""
_KUBECTL = f"{BIN}/kubectl --kubeconfig={ADMIN_KUBECONFIG} --request-timeout=10s"
_LIST = (
    f"{_KUBECTL} get secrets -A --field-selector type=kubernetes.io/service-account-token"
    " --no-headers -o custom-columns=A:.metadata.namespace,B:.metadata.name,C:.data.token"
)


def followed(target: Target) -> Iterator[Resource]:
    """Nothing where nothing is rotated."""
    if target.credentials.stage == "trusting":
        yield _pods_trust()
    if target.credentials.old_tokens and target.leads:
        yield _tokens_anew(target)


def _pods_trust() -> Condition:
    """A directory with all three files is one of a service account, not a secret of somebody's."""
    stale = f"""\
for held in {_VOLUMES}; do
  [ -e "$held/token" ] && [ -e "$held/namespace" ] && [ -e "$held/ca.crt" ] || continue
  cmp -s "$held/ca.crt" {CA} || echo "$held"
done
"""
    return Condition(
        "pods trust the new authorities",
        holds=f'[ -z "$({stale})" ]',
        evidence=f"echo 'these have not been given the new certificate:'\n{stale}",
        timeout_s=_FOLLOWING_S,
    )


def _tokens_anew(target: Target) -> Condition:
    """Tokens kept in secrets live for ever, unless they are taken out: then the controller manager
    puts in others, which the present key has signed. Each says in its header which has."""
    key = key_id(target.credentials.service_account.key)
    stale = f"""\
stale() {{
  listed=$({_LIST}) || return 1
  echo "$listed" | while read -r space name token; do
    [ -n "$name" ] || continue
    echo "$token" | base64 -d 2>/dev/null | cut -d. -f1 | tr '_-' '/+' | base64 -d 2>/dev/null |
      grep -qF '"kid":"{key}' || echo "$space $name"
  done
}}
"""
    # A secret may go while they are gone through.
    patch = f"""\
stale | while read -r space name; do
  {_KUBECTL} -n "$space" patch secret "$name" --type=merge -p '{{"data":{{"token":null}}}}' \\
    >/dev/null || :
done
"""
    return Condition(
        "tokens of service accounts are signed by the present key",
        holds=f'{stale}found=$(stale) && [ -z "$found" ]',
        repair=stale + patch,
        evidence=f"{stale}stale || :",
    )
