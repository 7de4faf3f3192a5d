# Boots one test host. Runs as the first process of its PID, mount, network, UTS and IPC namespaces,
# with the control side's file system still mounted, and stays as the host's init.
#
# $1: the host's disk   $2: its name   $3: the control network namespace
# $4: "wire" on the first boot, when the network namespace is new   $5: services to start
# $6: the control group below which a Docker engine has its containers
#
# Prints the PID that the machine knows, then "up". Anything else means that it did not come up.
set -eu
disk=$1 name=$2 control=$3 wire=$4 services=$5 cgroup=$6
read -r pid _ </proc/self/stat
echo "$pid"
umask 022

echo "$name" >/proc/sys/kernel/hostname
if [ "$wire" = wire ]; then
    echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
    # An engine forwards for its networks; it cannot turn that on itself, as the kernel's settings are
    # read-only later.
    case " $services " in *" docker "*) forward=1 ;; *) forward=0 ;; esac
    echo $forward >/proc/sys/net/ipv4/ip_forward
    # The control side makes both ends of each cable; it finds this namespace through descriptor 4.
    exec 4</proc/self/ns/net
    nsenter --net="$control" ip -batch "$disk/wire"
    exec 4<&-
    ip -batch "$disk/interfaces"
fi

mount --all --fstab "$disk/fstab"
cd "$disk/rootfs"
pivot_root . mnt
cd /
umount -l /mnt

[ -e /etc/ssh/ssh_host_ed25519_key ] ||
    ssh-keygen -q -t ed25519 -N '' -C "$name" -f /etc/ssh/ssh_host_ed25519_key
for service in $services; do
    case $service in
    sshd)
        # It goes to the background first and listens then; its PID file says that it does.
        /usr/sbin/sshd -E /var/log/sshd.log
        tries=0
        until [ -e /run/sshd.pid ]; do
            tries=$((tries + 1))
            [ $tries -lt 500 ] || { tail -n 5 /var/log/sshd.log >&2; exit 1; }
            sleep 0.01
        done
        ;;
    cron) /usr/sbin/cron ;;
    docker)
        dockerd --ip-forward=false --cgroup-parent="$cgroup" --exec-opt native.cgroupdriver=cgroupfs \
            </dev/null >>/var/log/dockerd.log 2>&1 &
        # It listens early and answers when it is ready.
        tries=0
        until docker -H unix:///run/docker.sock version >/dev/null 2>&1; do
            tries=$((tries + 1))
            [ $tries -lt 300 ] && kill -0 $! 2>/dev/null || { tail -n 5 /var/log/dockerd.log >&2; exit 1; }
            sleep 0.05
        done
        ;;
    esac
done
echo up
exec </dev/null >/dev/null 2>&1

# Orphans of the host become children of this shell, which reaps them while it waits. A sleep that
# someone kills is only replaced: nothing inside the host can end its init.
exec /usr/bin/dash -c 'while :; do sleep 86400 & wait $! || :; done' init
