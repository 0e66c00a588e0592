"""The options that the tools of Ubuntu 14.04 have, by tool: those a script of ours may use there.

From the manual pages of the releases named below. What came later, and would be written without
thinking: `sha256sum --ignore-missing` (coreutils 8.25), `base64 -w` is there, `ln -r` is, `stat
--cached` (8.32), `tar --zstd` (1.31), `grep --no-ignore-case` (3.5), `sed --sandbox` (4.3), `ip -j`
(iproute2 4.13), `ss -H` (4.11), `iptables -w SECONDS` (1.4.22), `flock --fcntl` (util-linux 2.29),
`apt-get -S` (1.1), `curl --fail-early` (7.52).
"""

from __future__ import annotations

from collections.abc import Mapping

OPTIONS: Mapping[str, str] = {
    # A letter or a word that takes an argument ends in ":". coreutils 8.21:
    "base64": "d i w: --decode --ignore-garbage --wrap:",
    "cat": "A b e E n s t T u v",
    "chmod": "c f v R --reference:",
    "chown": "c f v h R H L P --reference: --no-dereference",
    "cp": "a b d f i H l L n P p r R s t: T u v x",
    "cut": "b: c: d: f: n s --complement --output-delimiter:",
    "date": "d: f: I: r: R s: u",
    "df": "a B: h H i k l P t: T x: --total",
    "env": "i 0 u:",
    "head": "c: n: q v",
    "id": "a Z g G n r u",
    "ln": "b d f F i L n P r s S: t: T v",
    "ls": "a A b B c C d f F g G h H i I: k l L m n N o p q Q r R s S t T: u U v w: x X 1",
    "mkdir": "m: p v Z:",
    "mkfifo": "m: Z:",
    "mktemp": "d u q p: t --suffix:",
    "mv": "b f i n S: t: T u v",
    "readlink": "f e m n q s v z",
    "rm": "f i I r R d v --one-file-system --preserve-root --no-preserve-root",
    "sha256sum": "b c t w --check --quiet --status --strict",
    "sleep": "",
    "sort": "b d f g i M h n R r V c C k: m o: s S: t: T: u z",
    "stat": "L f t c: --format: --printf: --dereference",
    "tail": "c: f F n: q s: v --pid: --retry",
    "touch": "a c d: f h m r: t:",
    "tr": "c C d s t",
    "uname": "a s n r v m p i o",
    "wc": "c m l L w",
    # grep 2.16, sed 4.2.2, mawk 1.3.3, findutils 4.4.2:
    "awk": "f: F: v: W:",
    "grep": "E F G P e: f: i w x z s v m: b n H h o q a I d: D: r R L l c T Z A: B: C: U u",
    "sed": "n e: f: i l: r s u z --posix --debug",
    "find": "H L P name: type: maxdepth: mindepth: print delete newer: perm: user: group:",
    "xargs": "0 a: d: E: I: L: n: P: p r s: t x",
    # tar 1.27.1, gzip 1.6, util-linux 2.20, dpkg 1.17, apt 1.0, curl 7.35, kmod 15:
    "tar": "A c d r t u x C: f: z j J h k m M o O p P T: v W X: "
    "--no-same-owner --same-owner --strip-components: --xz --owner: --group: --exclude: --mtime:",
    "gzip": "c d f h k l L n N q r S: t v 1 2 3 4 5 6 7 8 9",
    "flock": "e x s u n w: o c: --timeout: --nonblock --shared",
    "mount": "a f F h i l n o: O: p: r t: v w B M R --bind --make-rshared --make-shared --rbind",
    "modprobe": "a c D f i n q R r s v C: d: S: --show-depends",
    "dpkg": "i r P l L s S: C --audit --configure a --get-selections --compare-versions",
    "dpkg-query": "W f: l s L S: showformat:",
    "apt-get": "b c: d f h m o: q s t: u V v y --no-install-recommends --force-yes "
    "--allow-unauthenticated --purge --reinstall --print-uris",
    "curl": "# 0 1 2 3 4 6 a A: b: B c: C: d: D: e: E: f F: g G H: i I k K: L m: M n N o: O p P: q "
    "Q: r: R s S t: T: u: U: v V w: x: X: y: Y: z: --cacert: --cert: --key: --max-time: --noproxy: "
    "--tlsv1 --tlsv1.0 --tlsv1.1 --tlsv1.2 --resolve: --retry: --connect-timeout:",
    "useradd": "b: c: d: D e: f: g: G: h k: K: l m M N o p: r R: s: u: U --system --user-group "
    "--no-create-home --home-dir: --shell: --gid:",
    "usermod": "a c: d: e: f: g: G: l: L m o p: R: s: u: U --home: --shell:",
    "getent": "s:",
    # iproute2 3.12, iptables 1.4.21:
    "ip": "V s d r f: 4 6 0 o B a b: l: --",
    "ss": "h V H n r a l o e m p i s 4 6 0 t u d w x Z z N: f: A: D: F:",
    "iptables": "t: A: D: I: N: X: P: F: L: S: C: j: g: m: p: s: d: i: o: n v x w c:",
}
"""Options by command, by release: from the manual pages of that release. `find` has words."""
ONE_DASH = frozenset(("find",))
"""Options of these are words behind one dash."""
