# What a host is, as lines of "key value"; parsed by gather.py. Changes nothing.
say() { echo "$1 $2"; }
say clock "$(date +%s.%N)"
say hostname "$(cat /proc/sys/kernel/hostname)"
say machine_id "$(cat /etc/machine-id 2>/dev/null || cat /var/lib/dbus/machine-id 2>/dev/null || :)"
(
  if [ -r /etc/os-release ]; then . /etc/os-release; fi
  echo "os_id ${ID:-}"
  echo "os_version ${VERSION_ID:-}"
)
say kernel "$(uname -r)"
say architecture "$(uname -m)"
if [ -d /run/systemd/system ]; then
  say init systemd
elif /sbin/init --version 2>/dev/null | grep -q upstart; then
  say init upstart
else
  say init unknown
fi
say uid "$(id -u)"
for minor in 14 13 12 11 10 9 8 7 6 5 4; do
  if command -v "python3.$minor" >/dev/null 2>&1; then
    say python "3.$minor"
    break
  fi
done
say cpus "$(grep -c ^processor /proc/cpuinfo)"
sed -n 's/^MemTotal: *\([0-9]*\) kB/memory_kb \1/p; s/^SwapTotal: *\([0-9]*\) kB/swap_kb \1/p' \
  /proc/meminfo
df -Pk /var/lib | sed -n '$p' | while read -r _ _ _ free _; do say disk_free_kb "$free"; done
say cgroup "$(stat -fc %T /sys/fs/cgroup 2>/dev/null || :)"
say container "$(cat /run/systemd/container 2>/dev/null || :)"
ip -o -4 addr show | while read -r _ interface _ address _; do
  say address "$interface $address"
done
ip -o link show | sed -n 's/^[0-9]*: \([^:@]*\)[:@].* mtu \([0-9]*\) .*/mtu \1 \2/p'
# Routes of protocol 82 are the agent's.
ip -4 route show 2>/dev/null | grep -v ' proto 82' | sed -n 's/^\([0-9][^ ]*\) .*dev \([^ ]*\).*/route \1 \2/p'
ss -ltnp 2>/dev/null |
  sed -n 's/^LISTEN  *[^ ]*  *[^ ]*  *[^ ]*:\([0-9]*\) .*(("\([^"]*\)".*/listening \1 \2/p'
# Where the running kernel's module directory is not to be seen (a container), nothing can be said
# against a module: what it lacks shows when it is used.
for module in overlay br_netfilter nf_tables nf_conntrack nft_chain_nat ip_tables ip_set veth; do
  if [ ! -d "/lib/modules/$(uname -r)" ] || [ -d "/sys/module/$module" ] ||
    grep -qw "$module" /proc/filesystems || grep -qs "/$module\.ko" "/lib/modules/$(uname -r)/modules.builtin" ||
    modprobe -nq "$module" 2>/dev/null; then
    say module "$module"
  fi
done
for file in /etc/cni/net.d/*; do
  if [ -e "$file" ]; then say cni "$file"; fi
done
say forward_policy "$(iptables -S FORWARD 2>/dev/null | sed -n 's/^-P FORWARD //p')"
nft list chains 2>/dev/null | awk '
  $1 == "table" { table = $2 " " $3 }
  $1 == "chain" { chain = $2 }
  / hook forward .*policy drop/ && table != "ip filter" { print "forward_drop " table " " chain }'
dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\n' containerd etcd-server runc 2>/dev/null |
  sed -n 's/^ii  */package /p' || :
