# Holds one test network together. Runs in a network namespace of its own, in the machine's PID
# namespace; its standard input is a pipe whose other end only the test process has.
#
# $1: the network's folder. Prints the PID, as the machine sees it, of the first process of the PID
# and mount namespaces in which the hosts live. When the pipe closes, whether the test ended or was
# killed, that process ends, and with it every host; then whatever still runs in this network
# namespace (an ssh master, say) is killed and the folder removed.
set -eu
dir=$1
net=$(readlink /proc/self/ns/net)
# The sweep below kills by namespace. It must never be the machine's own.
[ "$net" != "$(readlink "/proc/$PPID/ns/net")" ]

echo 0 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
# Hosts read /proc/net/tcp often. Each read walks a whole table, which is as large as the machine's unless a size
# is given here (since Linux 6.1), and 9 ms instead of 0.1 ms long.
children=/proc/sys/net/ipv4/tcp_child_ehash_entries
[ ! -e "$children" ] || echo 2048 >"$children"
ip -batch - <<BATCH
link set lo up
link add outer type bridge
addr add 10.77.0.1/16 dev outer
link set outer up
link add inner type bridge
link set inner up
BATCH

# shellcheck disable=SC2016 # for the shell that is started
unshare --mount --pid --fork --kill-child sh -euc '
    # /proc is still the machine'\''s, so this is the PID that the machine knows.
    read -r pid _ </proc/self/stat
    mount -t tmpfs -o mode=755 tarsops-hosts "$1/disks"
    echo "$pid"
    while read -r _; do :; done
' sh "$dir" || :

exec >/dev/null 2>&1
# find complains of processes that end while it looks.
left=$(find /proc/[0-9]*/ns/net -maxdepth 0 -lname "net:\\[${net#net:?}") || :
for path in $left; do
    pid=${path#/proc/}
    pid=${pid%%/*}
    [ "$pid" = "$$" ] || kill -9 "$pid" || :
done
# Containers of a host that was killed leave empty control groups; hosts name theirs after the network.
# They stay busy for a moment after their processes have ended.
for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
    tries=0
    while [ -d "$root/${dir##*/}" ] && [ $tries -lt 50 ]; do
        find "$root/${dir##*/}" -depth -type d -exec rmdir {} \; || :
        [ ! -d "$root/${dir##*/}" ] || sleep 0.1
        tries=$((tries + 1))
    done
done
rm -rf --one-file-system "$dir"
