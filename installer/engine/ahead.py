"""Asks a host for all at once what probes ask one by one. Pure.

A probe is plain sh text that works by itself: `stat` of its path, `sha256sum` of it, `systemctl`
for its unit, `ctr` for its image. Fifty of them start two hundred processes, which is most of what
a run with nothing to do costs a host. So a script of probes begins with one process for each of
these programs, and with functions of their names that answer out of what those said; what they do
not know they hand to the program itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from installer.hosts.init import Systemd
from installer.resources import Absent, Binary, Directory, File, Image, Service, Symlink, Sysctl
from installer.resources.base import Resource
from installer.resources.shell import quote

_PATHS = """\
ahead_n=0
ahead_ifs=$IFS
IFS='
'
set -f
set -- {stats}
for ahead_line in $(command stat -c '%n|%F|%a|%U:%G|%s %Y %Z' "$@" 2>/dev/null); do
while [ $# -gt 0 ] && [ "$1" != "${{ahead_line%%|*}}" ]; do shift; ahead_n=$((ahead_n + 1)); done
eval "ahead_stat_$ahead_n=\\${{ahead_line#*|}}"
done
ahead_n=0
set -- {sums}
for ahead_line in $(command sha256sum "$@" 2>/dev/null); do
while [ $# -gt 0 ] && [ "$1" != "${{ahead_line#*  }}" ]; do shift; ahead_n=$((ahead_n + 1)); done
eval "ahead_sum_$ahead_n=\\$ahead_line"
done
set +f
IFS=$ahead_ifs
stat() {{
case "$# ${{1-}} ${{2-}}" in
'3 -c '*) ahead_format=$2 ahead_path=$3 ;;
'4 -L -c') ahead_format=$3 ahead_path=$4 ;;
*) command stat "$@"; return ;;
esac
case $ahead_path in
{stat_rows}\
*) command stat "$@"; return ;;
esac
eval "ahead_row=\\${{ahead_stat_$ahead_n-}}"
case $1$ahead_row in
''|-c|-L|-Lsymbolic*) command stat "$@"; return ;;
esac
ahead_kind=${{ahead_row%%|*}} ahead_row=${{ahead_row#*|}}
ahead_mode=${{ahead_row%%|*}} ahead_row=${{ahead_row#*|}}
ahead_owner=${{ahead_row%%|*}} ahead_size=${{ahead_row#*|}}
case $ahead_format in
'%F|%a|%U:%G') echo "$ahead_kind|$ahead_mode|$ahead_owner" ;;
'%F') echo "$ahead_kind" ;;
'%s %Y %Z %a %U:%G') echo "$ahead_size $ahead_mode $ahead_owner" ;;
*) command stat "$@" ;;
esac
}}
sha256sum() {{
case "$#:${{1-}}" in
{sum_rows}\
*) command sha256sum "$@"; return ;;
esac
eval "ahead_row=\\${{ahead_sum_$ahead_n-}}"
case $ahead_row in
'') command sha256sum "$@" ;;
*) echo "$ahead_row" ;;
esac
}}
"""
_UNITS = """\
ahead_units=$(command systemctl show -p Id -p UnitFileState -p ActiveState {units} 2>/dev/null | {{
id='' file='' active=''
while IFS='=' read -r key value; do
case $key in
Id) id=$value ;;
UnitFileState) file=$value ;;
ActiveState) active=$value ;;
'') echo "|$id|$file|$active"; id='' ;;
esac
done
echo "|$id|$file|$active"
}})
systemctl() {{
case "$*" in
'show -p UnitFileState -p ActiveState '*)
for ahead_row in $ahead_units; do
case $ahead_row in
"|$6|"*)
ahead_row=${{ahead_row#"|$6|"}}
echo "UnitFileState=${{ahead_row%|*}}"
echo "ActiveState=${{ahead_row#*|}}"
return ;;
esac
done ;;
esac
command systemctl "$@"
}}
"""
_IMAGES = """\
ahead_images=$(command ctr -n {namespace} images ls 2>/dev/null)
ctr() {{
case "$*" in
'-n '{namespace}' images ls name=='*) ;;
*) command ctr "$@"; return ;;
esac
case $ahead_images in
*"${{5#name==}} "*) ;;
*) command ctr "$@"; return ;;
esac
echo REF
ahead_ifs=$IFS
IFS='
'
set -f
for ahead_row in $ahead_images; do
case $ahead_row in
"${{5#name==}} "*) echo "$ahead_row" ;;
esac
done
set +f
IFS=$ahead_ifs
}}
"""


def read_ahead(resources: Sequence[Resource]) -> str:
    """Sh text to put before the probes of these resources; what it asks may fail."""
    units = [
        f"{item.name}.service"
        for item in resources
        if isinstance(item, Service) and isinstance(item.init, Systemd)
    ]
    spaces = {item.namespace for item in resources if isinstance(item, Image)}
    text = _about_paths(resources)
    if units:
        text += _UNITS.format(units=" ".join(map(quote, units)))
    if len(spaces) == 1:
        text += _IMAGES.format(namespace=quote(spaces.pop()))
    return text


def _about_paths(resources: Sequence[Resource]) -> str:
    kinds = (Absent, Binary, Directory, File, Symlink)
    paths = _plain(item.path for item in resources if isinstance(item, kinds))
    files = _plain(_contents(resources))
    return _PATHS.format(
        stats=" ".join(map(quote, paths)) or "/",
        sums=" ".join(map(quote, files)) or "/dev/null",
        stat_rows="".join(f"{quote(path)}) ahead_n={n} ;;\n" for n, path in enumerate(paths)),
        sum_rows="".join(f"1:{quote(path)}) ahead_n={n} ;;\n" for n, path in enumerate(files)),
    )


def _contents(resources: Sequence[Resource]) -> Iterator[str]:
    """The files whose digests probes ask for; not programs, which are large and have stamps."""
    for item in resources:
        if isinstance(item, File | Sysctl):
            yield item.path
        elif isinstance(item, Service):
            yield item.init.path(item.name)


def _plain(paths: Iterator[str]) -> list[str]:
    """Each once, but for those that the tools would print otherwise than they are, or that have
    what we part lines by."""
    return [path for path in dict.fromkeys(paths) if not set(path) & set("|\n\\")]
