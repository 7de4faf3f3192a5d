//! The few programs that a host answers itself: its own crontab, its own address.
//!
//! Plain `sh`, so that they run wherever the rest does. What must stay true: `crontab` never touches
//! a crontab outside the host's folder.

use std::path::Path;

/// A path or word as one shell word.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The shims of one host, by file name.
pub(super) fn all(name: &str, ip: &str, user: &str, crontab: &Path) -> [(&'static str, String); 3] {
    let table = quoted(&crontab.to_string_lossy());
    let user = quoted(user);
    [
        (
            "crontab",
            CRONTAB.replace("@TABLE@", &table).replace("@USER@", &user),
        ),
        ("ip", IP.replace("@IP@", ip)),
        (
            "hostname",
            HOSTNAME
                .replace("@IP@", ip)
                .replace("@NAME@", &quoted(name)),
        ),
    ]
}

/// As Debian's: `-l`, `-r`, `-`, a file, `-u USER`; the same words and exit codes where a caller could
/// look at them. A table is replaced in one rename.
const CRONTAB: &str = r#"#!/bin/sh
# This host's own crontab. The machine's is never touched.
table=@TABLE@
user=@USER@
what=
file=
while [ $# -gt 0 ]; do
    case $1 in
        -u) [ $# -ge 2 ] || { echo "crontab: option requires an argument -- 'u'" >&2; exit 1; }
            [ "$2" = "$user" ] || { echo "must be privileged to use -u" >&2; exit 1; }
            shift ;;
        -l) what=list ;;
        -r) what=remove ;;
        -) what=replace; file=- ;;
        -*) echo "crontab: invalid option '$1'" >&2; exit 1 ;;
        *) what=replace; file=$1 ;;
    esac
    shift
done
case $what in
    list)
        [ -f "$table" ] || { echo "no crontab for $user" >&2; exit 1; }
        exec cat "$table" ;;
    remove)
        [ -f "$table" ] || { echo "no crontab for $user" >&2; exit 1; }
        exec rm -f "$table" ;;
    replace|'')
        fresh="$table.$$"
        trap 'rm -f "$fresh"' EXIT
        if [ "${file:--}" = - ]; then cat > "$fresh"; else cat "$file" > "$fresh"; fi || exit 1
        if [ -s "$fresh" ] && [ -n "$(tail -c 1 "$fresh")" ]; then
            echo "new crontab file is missing newline before EOF, can't install." >&2
            exit 1
        fi
        mv -f "$fresh" "$table" ;;
esac
"#;

/// Only what asks for addresses is answered.
const IP: &str = r#"#!/bin/sh
# This host's own address and nothing else.
oneline=
brief=
object=
six=
for word; do
    case $word in
        -o|-oneline) oneline=y ;;
        -br|-brief) brief=y ;;
        -6) six=y ;;
        -*) ;;
        a|ad|add|addr|address) object=addr ;;
        *) [ -n "$object" ] || object=$word ;;
    esac
done
if [ "$object" != addr ]; then
    echo "Object \"$object\" is unknown on this host." >&2
    exit 1
fi
[ -z "$six" ] || exit 0
if [ -n "$brief" ]; then
    echo "eth0             UP             @IP@/24 "
elif [ -n "$oneline" ]; then
    echo '2: eth0    inet @IP@/24 brd 127.255.255.255 scope global eth0\       valid_lft forever preferred_lft forever'
else
    echo '2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default'
    echo '    inet @IP@/24 brd 127.255.255.255 scope global eth0'
    echo '       valid_lft forever preferred_lft forever'
fi
"#;

const HOSTNAME: &str = r#"#!/bin/sh
# This host's own name and address.
case $1 in
    -I|--all-ip-addresses) echo '@IP@ ' ;;
    -i|--ip-address) echo '@IP@' ;;
    *) echo @NAME@ ;;
esac
"#;
