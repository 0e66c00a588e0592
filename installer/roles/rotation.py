"""What pods hold of the cluster's authorities and keys, while those are rotated: their copies of
the certificate and their tokens follow the control plane's, and the next stage must not come
before they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote

from installer.resources import Condition, Resource
from installer.resources.shell import sha256, short
from installer.roles.pki import ADMIN_KUBECONFIG, CA
from installer.roles.programs import BIN
from installer.roles.role import Target

_VOLUMES = "/var/lib/kubelet/pods/*/volumes/kubernetes.io~*/*/"
_FOLLOWING_S = 240
"""A kubelet renews what pods hold of secrets within some 90 s."""
_SIGNED_BY = "romana.io/signed-by"
_KUBECTL = f"{BIN}/kubectl --kubeconfig={ADMIN_KUBECONFIG} --request-timeout=10s"
_LIST = (
    f"{_KUBECTL} get secrets -A --field-selector type=kubernetes.io/service-account-token"
    " --no-headers -o custom-columns='A:.metadata.namespace,B:.metadata.name,"
    f"C:.metadata.annotations.{_SIGNED_BY.replace('.', chr(92) + '.')},D:.data.token'"
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
    puts in others, which the present key has signed."""
    mark = short(sha256(target.credentials.service_account.key))
    patch = {"metadata": {"annotations": {_SIGNED_BY: mark}}, "data": {"token": None}}
    return Condition(
        "tokens of service accounts are signed by the present key",
        holds=f"listed=$({_LIST})\n"
        f"""[ -z "$(echo "$listed" | awk 'NF && ($3 != "{mark}" || $4 == "<none>")')" ]""",
        # A secret may go while they are gone through.
        repair=f"{_LIST} | awk '$3 != \"{mark}\" {{ print $1, $2 }}' |\n"
        "while read -r space name; do\n"
        f'{_KUBECTL} -n "$space" patch secret "$name" --type=merge -p {quote(json.dumps(patch))}'
        " >/dev/null || :\ndone",
        evidence=f"{_LIST} | awk '{{ print $1, $2, $3 }}' || :",
    )
