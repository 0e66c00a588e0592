"""etcd's members as the inventory has them: carries out what `installer.etcd.membership` has
decided."""

from __future__ import annotations

from collections.abc import Iterator

from installer.distributions import find
from installer.etcd import Member
from installer.etcd.asking import DATA, TOLD, client, each_in_turn, peer
from installer.etcd.membership import BEGIN, JOIN
from installer.hosts.init import of
from installer.resources import Condition, Resource
from installer.resources.shell import quote
from installer.roles.brought import is_brought
from installer.roles.role import Target

LEARNERS = (3, 4)
"""The release of etcd that brought learners."""
_JOIN_LIMIT_S = 150
"""Others may join before, one at a time, and the first member may only just begin."""


def lost_members(target: Target) -> Iterator[Resource]:
    """Lets dead members go, before others take their places."""
    yield from _removals(target, target.membership.lost)


def leaving_members(target: Target) -> Iterator[Resource]:
    """Lets members go that live, now that nobody needs them."""
    yield from _removals(target, target.membership.leaving)


def _removals(target: Target, members: tuple[Member, ...]) -> Iterator[Resource]:
    if target.membership.through[:1] != (target.host.name,):
        return
    ctl = each_in_turn(_endpoints(target, own=True))
    for member in members:
        listed = f"{ctl}list=$(ctl member list)\n"
        yield Condition(
            f"etcd has let {member.called} ({member.id}) go",
            holds=f'{listed}! echo "$list" | grep -q "^{member.id},"',
            repair=f"{ctl}ctl member remove {member.id}",
        )


def beginning(target: Target) -> Iterator[Resource]:
    """How the member begins, where it has not begun: as the only one, or as one that joins."""
    name = target.host.name
    if name in target.membership.joins:
        mark = f"{JOIN} {target.membership.mark}"
        yield Condition(
            "etcd has been told of its new member",
            holds=f"grep -qsxF {quote(f'# {mark}')} {TOLD}",
            repair=_join(target, mark),
            timeout_s=_JOIN_LIMIT_S,
        )
    elif name == target.membership.begins or not target.cluster.balanced:
        yield Condition(
            "etcd's first member has begun",
            holds=f"[ -d {DATA}/member ] || grep -qsx '# {BEGIN}' {TOLD}",
            repair=_tell(
                f"# {BEGIN}\\n"
                f'ETCD_INITIAL_CLUSTER="{name}={peer(target.host.address)}"\\n'
                'ETCD_INITIAL_CLUSTER_STATE="new"\\n'
            ),
        )


def _tell(content: str) -> str:
    return (
        f"printf {quote(content)} >{TOLD}.new\nchown etcd:etcd {TOLD}.new\nmv {TOLD}.new {TOLD}\n"
    )


def _join(target: Target, mark: str) -> str:
    """Sh text that makes this host known to the members, and keeps what it has to know of them.
    What it held of an earlier membership is set aside. A member of its address that a cut run has
    left is replaced."""
    init, learner = of(target.facts), "--learner" if _has_learners(target) else ""
    address = peer(target.host.address)
    stop = init.stop("etcd").strip()
    return f"""\
{each_in_turn(_endpoints(target))}
state=$({init.state("etcd").strip()})
case "$state" in *" active") {stop} ;; esac
[ ! -d {DATA}/member ] || mv {DATA}/member {DATA}/member.{target.membership.mark}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
add() {{
  left=$(ctl member list | awk -F', ' '$4 == "{address}" {{ print $1 }}') || return 1
  [ -z "$left" ] || ctl member remove "$left" || return 1
  ctl member add {target.host.name} {learner} --peer-urls={address}
}}
deadline=$(($(date +%s) + {_JOIN_LIMIT_S}))
until add >"$work/told" 2>"$work/why"; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "no member lets {target.host.name} join:"; tail -n 3 "$work/why"; exit 1
  fi
  sleep 0.5 2>/dev/null || sleep 1
done
{{ echo '# {mark}'; grep '^ETCD_INITIAL_CLUSTER' "$work/told"; }} >{TOLD}.new
chown etcd:etcd {TOLD}.new
mv {TOLD}.new {TOLD}
"""


def voting(target: Target) -> Iterator[Resource]:
    """A learner becomes a member with a vote once it has caught up."""
    if len(target.cluster.controllers) == 1 or not _has_learners(target):
        return
    ctl = each_in_turn(_endpoints(target, own=True))
    row = f"awk -F', ' '$4 == \"{peer(target.host.address)}\"'"
    yield Condition(
        "etcd's member has a vote",
        holds=f"{ctl}row=$(ctl member list | {row})\ncase $row in ''|*', true') false ;; esac",
        # Whoever votes already is not promoted: each try would be a decision of all members.
        repair=f"""\
{ctl}
deadline=$(($(date +%s) + 60))
while [ "$(date +%s)" -lt "$deadline" ]; do
  row=$(ctl member list 2>/dev/null | {row}) || :
  case $row in
    *', true') ! ctl member promote "${{row%%,*}}" >/dev/null 2>&1 || break ;;
    ?*) break ;;
  esac
  sleep 0.2 2>/dev/null || sleep 1
done
""",
        evidence=f"{ctl}ctl member list || :",
    )


def _has_learners(target: Target) -> bool:
    row = find(target.facts.os_id, target.facts.os_version)
    return is_brought(target, "etcd") or row is None or (row.etcd or (0, 0)) >= LEARNERS


def _endpoints(target: Target, *, own: bool = False) -> tuple[str, ...]:
    """Client URLs of members, in the order in which they are worth asking."""
    addresses = {host.name: host.address for host in target.cluster.controllers}
    names = [name for name in target.membership.through if name in addresses]
    mine = [target.host.name] if own else []
    names = [*mine, *names] or list(addresses)
    others = [name for name in addresses if name not in names]
    return tuple(client(addresses[name]) for name in dict.fromkeys((*names, *others)))
