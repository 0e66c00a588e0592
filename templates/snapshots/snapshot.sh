#!/bin/sh
# Written by romana-install; changes made here are lost.
# Keeps a snapshot of this controller's etcd, with the cluster's secrets, as `romana-install restore` takes it.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
store={{ store }}
mkdir -p "$store"
work=$(mktemp -d "$store/.new-XXXXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$1" | tr '\n' ' ' >"$store/failed.new"
    mv -f "$store/failed.new" "$store/failed"
    echo "$1" >&2
    exit 1
}

sum() {
    sha256sum <"$1" | cut -d' ' -f1
}

rm -rf $(find "$store" -maxdepth 1 -name '.new-*' ! -path "$work" -mmin +60)
client="etcdctl --endpoints=https://127.0.0.1:2379 --cacert={{ pki }}/etcd/ca.crt"
client="$client --cert={{ pki }}/etcd/healthcheck-client.crt --key={{ pki }}/etcd/healthcheck-client.key"
export ETCDCTL_API=3
cd "$work"
$client snapshot save etcd.db >told 2>&1 || fail "etcd gives no snapshot: $(tail -n 1 told)"

# A snapshot ends with the sha256 of all before it.
size=$(($(stat -c %s etcd.db) - 32))
whole=$(head -c "$size" etcd.db | sha256sum | cut -d' ' -f1)
ending=$(tail -c 32 etcd.db | od -An -v -tx1 | tr -d ' \n')
[ "$whole" = "$ending" ] || fail "etcd's snapshot is damaged"
status=$(etcdctl snapshot status -w json etcd.db 2>&1) || fail "etcd's snapshot cannot be read: $status"
number() {
    echo "$status" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

mkdir -p state/pki/etcd
for name in {{ secrets }}; do
    cp "{{ pki }}/$name" "state/pki/$name" || fail "a secret of the cluster cannot be read: $name"
done
sed -n 's/.*secret: *"\{0,1\}\([A-Za-z0-9+\/=]*\).*/\1/p' {{ encryption }} | head -n 1 | tr -d '\n' >state/pki/encryption.key
[ -s state/pki/encryption.key ] || fail "there is no key in {{ encryption }}"

now=$(date -u +%s)
{
    printf '{"format": 1, "cluster": "%s", "platform": "%s", ' '{{ cluster }}' '{{ platform }}'
    printf '"taken": "%s", "kubernetes": "%s", ' "$(date -u -d "@$now" '+%Y-%m-%d %H:%M:%S')" '{{ kubernetes }}'
    printf '"revision": %s, "keys": %s, "sha256": {' "$(number revision)" "$(number totalKey)"
    find etcd.db state -type f | while read -r name; do printf '"%s": "%s", ' "$name" "$(sum "$name")"; done
    printf '"": ""}}\n'
} | sed 's/, "": ""}/}/' >backup.json

file="romana-backup-{{ cluster }}-$(date -u -d "@$now" +%Y%m%d-%H%M%S).tar.gz"
tar -czf "$file" backup.json $(find etcd.db state -type f) || fail "$store: cannot be written"
sync
read=$(tar -xzOf "$file" etcd.db | sha256sum | cut -d' ' -f1)
[ "$read" = "$(sum etcd.db)" ] || fail "$file reads back otherwise than it was written"
mv -f "$file" "$store/$file"
rm -f "$store/failed"

# By age, but never the last few: a clock that jumps, or etcd that has been ill for long, takes none away.
cd "$store"
ls -1 romana-backup-*.tar.gz | sort -r | sed '1,{{ least }}d' | while read -r old; do
    find "$old" -mmin +{{ keep_minutes }} -exec rm -f {} \;
done
