"""Shell code of all scripts: the beginning, and the functions that they call."""

MARK = "# Written by chandra-bin"

HEAD = """\
#!/usr/bin/env bash
# {about}
{mark} {version} for {name}. It runs CIAO's tools one after another, and needs CIAO set up in this shell.
set -euo pipefail
{script}cd -- {work}

need() {{
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || {{ echo "$program is not in PATH: set up CIAO first" >&2; exit 2; }}
    done
}}
need {needed}
"""
CIAO = """\
install=${ASCDS_INSTALL:-$(cd -- "$(dirname -- "$(command -v dmcopy)")/.." && pwd)}
own=$(mktemp -d "${TMPDIR:-/tmp}/chandra-bin.XXXXXX")
case $own in *[!A-Za-z0-9_./-]*) rmdir -- "$own"; own=$(mktemp -d /tmp/chandra-bin.XXXXXX) ;; esac
trap 'rm -rf -- "$own"' EXIT

# Calls a tool with parameter files and a folder for temporary files of its own (so that scripts can run side by side),
# and without input. It also fails if the tool prints ERROR and exits with 0.
ciao() {
    local status=0
    rm -rf -- "${own:?}"/*
    mkdir -- "$own/param" "$own/tmp"
    env -u PDIRS -u UPARM -u LANG -u LANGUAGE -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV \\
        PFILES="$own/param;$install/param:$install/contrib/param" ASCDS_WORK_PATH="$own/tmp" \\
        PATH="$install/bin:$install/contrib/bin:$PATH" TMPDIR="$own/tmp" LC_ALL=C PYTHONUNBUFFERED=1 \\
        "$@" </dev/null >"$own/log" 2>&1 || status=$?
    cat -- "$own/log"
    if [ "$status" -ne 0 ]; then
        echo "$1: failed with exit code $status" >&2
        return 1
    fi
    if grep -Eq '# [^ ]+ \\(.*\\): ERROR|DM Parse error|Failed to open|Segmentation|No space left on device' \\
        "$own/log"; then
        echo "$1: reported an error" >&2
        return 1
    fi
}

# Fails if an output of a tool is missing.
made() {
    local file
    for file in "$@"; do
        [ -s "$file" ] || { echo "$file was not made" >&2; return 1; }
    done
}
"""
_HAS_SHAPES = """\
# Whether a region file exists and has a shape: tools cannot read an empty one.
has_shapes() {
    [ -f "$1" ] && awk '{ sub(/#.*/, "") } /^[ \\t]*global/ { next } /[(]|[A-Za-z][ \\t]+[-+.0-9]/ { found = 1 }
                        END { exit !found }' "$1"
}
"""
_LOCAL_NAMES = """\
# Removes folders from the names in lists: names in a list are relative to its folder.
local_names() {
    local list
    for list in "$1"/*.lis; do
        if [ -f "$list" ]; then
            sed 's|.*/||' "$list" >"$list.part"
            mv -f -- "$list.part" "$list"
        fi
    done
}
"""
_NEWER = """\
# Whether a file is newer than another one and than this script: a script with other settings makes the file again.
is_newer() {
    [ -s "$1" ] && [ "$1" -nt "$2" ] && [ "$1" -nt "$script" ]
}
"""
EACH_LIST = """\
# {purpose}: several in a call, and one by one if that fails
for list in {lists}root_*.list; do
    [ -f "$list" ] || continue
    part=${{list##*/root_}}
    part=${{part%.list}}
    while IFS= read -r root; do
        rm -f -- {files}
    done <"$list"
    if {call}; then
        failed=no
        while IFS= read -r root; do
            made {files} || failed=yes
        done <"$list"
    else
        failed=yes
    fi
    if [ "$failed" = yes ]; then
        while IFS= read -r root; do
            number=${{root##*/xaf_}}
{alone}
        done <"$list"
    fi
done"""
FUNCTIONS = {"has_shapes": _HAS_SHAPES, "local_names": _LOCAL_NAMES, "is_newer": _NEWER}
