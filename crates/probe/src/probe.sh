# Looks at one host and prints one framed answer. It changes nothing but the remembered digests.
# Sent on standard input of `sh -s`; variables P_* stand before it, quoted. Runs on dash, bash and
# busybox. No path of a component's binary may stand on a command line here: the framework's
# start.sh kills every process that has it among its arguments.
#
# Answer: `tarsops-probe/1 <nonce>`, then lines `key word …`, last `end <number of lines>`.
# Free text is base64 in one word, `-` where it is empty.

say() { printf '%s\n' "$*"; P_LINES=$((P_LINES + 1)); }
has() { command -v "$1" >/dev/null 2>&1; }

# One line of base64 of standard input. P_WHOLE: whether base64 can do that by itself.
enc() {
  if [ "$P_WHOLE" = 1 ]; then base64 -w0
  elif has base64; then base64 | tr -d '\n'
  elif has openssl; then openssl base64 -A
  else od -An -v -tx1 | tr -d ' \n' | sed 's/^/hex:/'
  fi
}
text() { # text KEY FILE: content, mode and owner of a small file, or why not
  if [ ! -e "$2" ] && [ ! -h "$2" ]; then
    if [ -x "${2%/*}" ]; then say "$1 absent"; else say "$1 unknown no-access"; fi
    return
  fi
  if [ ! -f "$2" ]; then say "$1 unknown not-a-file"; return; fi
  if [ ! -r "$2" ]; then say "$1 unknown no-access"; return; fi
  t_stat=$(stat -L -c '%a %U %s' "$2" 2>/dev/null) || t_stat=
  set -- "$1" "$2" $t_stat
  if [ $# -ne 5 ]; then say "$1 unknown no-stat"; return; fi
  if [ "$5" -gt 1048576 ]; then say "$1 unknown too-large"; return; fi
  t_body=$(enc <"$2")
  say "$1 text $3 $4 ${t_body:--}"
}
hash_now() { # sha256 of a file, with the fastest tool there is
  if has openssl; then h_d=$(openssl dgst -sha256 -r "$1" 2>/dev/null); printf '%s\n' "${h_d%% *}"
  elif has sha256sum; then sha256sum "$1" 2>/dev/null | cut -d' ' -f1
  elif has shasum; then shasum -a 256 "$1" 2>/dev/null | cut -d' ' -f1
  elif has busybox; then busybox sha256sum "$1" 2>/dev/null | cut -d' ' -f1
  fi
}
# Digest of a file, remembered under its identity. The same inode is read once per look.
digest() { # digest FILE → $D
  D=; d_key=$(stat -L -c '%d:%i:%s:%y:%z' "$1" 2>/dev/null)
  [ -n "$d_key" ] || return 1
  d_file=$1
  # Its words, joined by underscores.
  set -f; d_ifs=$IFS; set -- $d_key; IFS=_; d_key="$*"; IFS=$d_ifs; set +f
  set -- "$d_file"
  case "$P_SEEN" in *"|$d_key="*) D=${P_SEEN##*"|$d_key="}; D=${D%%|*}; return 0 ;; esac
  if [ "$P_REHASH" = 0 ] && [ -r "$P_MEMO" ]; then
    while read -r d_k d_v; do
      if [ "$d_k" = "$d_key" ]; then D=$d_v; P_REMEMBERED=1; fi
    done <"$P_MEMO"
  fi
  if [ -z "$D" ]; then
    D=$(hash_now "$1")
    [ -n "$D" ] || return 1
    P_FRESH="$P_FRESH$d_key $D
"
  fi
  P_SEEN="$P_SEEN|$d_key=$D|"
  P_KEEP="$P_KEEP$d_key $D
"
}

# Whether a process has another root than we, so far as that can be told: a container on this host may
# hold an installation under the same path.
foreign() { # foreign PID
  f_at=${p_stats##*"/proc/$1/root/ "}
  [ "$f_at" != "$p_stats" ] && [ "${f_at%% *}" != "$p_rootid" ]
}
owner() { # owner PID → $p_who, nothing where it is gone
  p_who=
  case "$p_stats" in *"/proc/$1 "*) p_who=${p_stats##*"/proc/$1 "}; p_who=${p_who#* }; p_who=${p_who%%"
"*} ;; esac
}

probe() {
  P_LINES=0 P_SEEN='' P_FRESH='' P_KEEP='' P_REMEMBERED=0
  LC_ALL=C; export LC_ALL
  PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  P_WHOLE=0; [ "$(printf x | base64 -w0 2>/dev/null)" != eA== ] || P_WHOLE=1
  P_TARS=$P_INSTALL/tars P_BASE=$P_INSTALL/.tarsops
  P_MEMO=$P_BASE/digests
  say "tarsops-probe/1 $P_NONCE"
  say "clock $(date +%s)"
  p_uid=$(id -u)
  p_user=$(id -un 2>/dev/null || printf '%s\n' "$p_uid")
  p_root=0; [ "$p_uid" = 0 ] && p_root=1
  p_known=0; id -u "$P_RUN_USER" >/dev/null 2>&1 && p_known=1
  say "user $p_user $p_root"
  say "hostname $(uname -n | enc)"
  p_mid=${TARSOPS_MACHINE_ID:-/etc/machine-id}
  [ -r "$p_mid" ] || p_mid=/var/lib/dbus/machine-id
  if [ -r "$p_mid" ]; then read -r p_id <"$p_mid"; say "machine-id ${p_id:--}"; else say "machine-id -"; fi
  p_id=; [ -r /proc/sys/kernel/random/boot_id ] && read -r p_id </proc/sys/kernel/random/boot_id
  say "boot-id ${p_id:--}"
  if has ip && p_out=$(ip -o addr show 2>/dev/null); then say "interfaces ip $(printf '%s\n' "$p_out" | enc)"
  elif has ifconfig && p_out=$(ifconfig -a 2>/dev/null); then say "interfaces ifconfig $(printf '%s\n' "$p_out" | enc)"
  elif has hostname && p_out=$(hostname -I 2>/dev/null); then say "interfaces hostname $(printf '%s\n' "$p_out" | enc)"
  elif [ -r /proc/net/fib_trie ]; then say "interfaces fib $(grep -B1 'host LOCAL' /proc/net/fib_trie | enc)"
  else say "interfaces none -"
  fi
  for p_t in crontab flock setsid sudo su runuser useradd ss pgrep sha256sum openssl base64 stat find sync; do
    if has "$p_t"; then say "tool $p_t 1"; else say "tool $p_t 0"; fi
  done

  say "run-user $p_known"
  p_dir=$P_INSTALL
  while [ ! -d "$p_dir" ] && [ -n "$p_dir" ]; do p_dir=${p_dir%/*}; done
  p_free=$(df -Pk "${p_dir:-/}" 2>/dev/null | sed -n '2p' | { read -r _ _ _ p_a _; printf '%s' "${p_a:--}"; })
  say "disk ${p_free:--}"
  # -w asks access(2), which tells a read-only file system too.
  if [ -w "${p_dir:-/}" ]; then say "writable 1"; else say "writable 0"; fi

  if ! has crontab; then say "crontab unknown no-crontab-program -"
  else
    if [ "$p_user" = "$P_RUN_USER" ]; then p_cron=$(crontab -l 2>&1; echo "x$?")
    # A user who is not there yet has none; asked about him, crontab(1) only fails.
    elif [ $p_root = 1 ] && [ $p_known = 0 ]; then p_cron='no crontabx1'
    elif [ $p_root = 1 ]; then p_cron=$(crontab -u "$P_RUN_USER" -l 2>&1; echo "x$?")
    else p_cron=$(echo 'only root may read the crontab of another user'; echo x99)
    fi
    p_rc=${p_cron##*x}; p_cron=${p_cron%x*}
    if [ "$p_rc" = 0 ]; then
      # Read again without the warnings of standard error, so that the text is exact.
      if [ "$p_user" = "$P_RUN_USER" ]; then p_b=$(crontab -l 2>/dev/null | enc); else p_b=$(crontab -u "$P_RUN_USER" -l 2>/dev/null | enc); fi
      say "crontab text ${p_b:--}"
    else
      case "$p_cron" in
        *[Nn]'o crontab'* | *"can't open"*'No such file'*) say "crontab absent" ;;
        *) say "crontab unknown error $(printf '%s' "$p_cron" | tail -n 1 | enc)" ;;
      esac
    fi
  fi

  # What tarsops left here.
  if [ -d "$P_BASE" ]; then
    if [ -r "$P_BASE" ] && [ -x "$P_BASE" ]; then
      say "base 1"
      [ -r "$P_BASE/fence" ] && read -r p_f <"$P_BASE/fence" && say "fence $p_f"
      if [ -r "$P_BASE/current" ]; then
        read -r p_r p_s <"$P_BASE/current"
        p_alive=0
        if has flock && ! flock -n "$P_BASE/lock" true 2>/dev/null; then p_alive=1; fi
        say "current $p_r $p_s $p_alive"
      fi
      if [ -r "$P_BASE/lease" ]; then say "lease $(date +%s) $(enc <"$P_BASE/lease")"; fi
      [ -r "$P_BASE/labels" ] && say "labels $(enc <"$P_BASE/labels")"
      for p_f in "$P_BASE"/restart.*; do
        [ -f "$p_f" ] && say "restart $(printf '%s' "${p_f##*/restart.}" | enc)"
      done
      for p_f in "$P_BASE"/stage/*; do
        case "${p_f##*/}" in *[!0-9a-f]*) ;; *) [ -f "$p_f" ] && say "staged ${p_f##*/}" ;; esac
      done
    else say "base no-access"
    fi
  else say "base 0"
  fi

  # Which components are installed so that they can be started.
  if [ -d "$P_TARS" ] && [ ! -x "$P_TARS" ]; then say "installed unknown -"
  else
    p_there=$(for p_f in "$P_TARS"/*/util/start.sh; do
      [ -f "$p_f" ] || continue
      p_f=${p_f%/util/start.sh}; printf '%s\n' "${p_f##*/}"
    done | enc)
    say "installed list ${p_there:--}"
  fi

  # The component's folder.
  if [ ! -e "$P_TARS/tarsnode" ]; then
    p_up=$P_TARS; while [ ! -e "$p_up" ] && [ -n "$p_up" ]; do p_up=${p_up%/*}; done
    if [ -d "${p_up:-/}" ] && [ -x "${p_up:-/}" ]; then say "agent absent"; else say "agent unknown"; fi
  elif ! cd "$P_TARS/tarsnode" 2>/dev/null; then say "agent unknown"
  else
    say "agent present"
    p_o=$(stat -c '%U %a' . 2>/dev/null); say "folder ${p_o:-- -}"
    if [ $p_known = 1 ] && has find; then
      ( cd .. && find . -maxdepth 0 ! -user "$P_RUN_USER"
        cd tarsnode && find . bin conf util data -maxdepth 1 ! -user "$P_RUN_USER" 2>/dev/null | sed 's|^\./||' | sort -u | sed 's|^|tarsnode/|' ) 2>/dev/null |
        sort -u | head -n 20 | enc | { IFS= read -r p_l || :; printf 'strangers %s\n' "${p_l:--}"; }
      P_LINES=$((P_LINES + 1))
    else say "strangers unknown"
    fi
    if [ -f bin/tarsnode ]; then
      p_o=$(stat -L -c '%s %a %U' bin/tarsnode 2>/dev/null)
      if [ -r bin/tarsnode ] && digest bin/tarsnode; then say "binary file $D $p_o"; else say "binary unknown no-access"; fi
    elif [ -x . ] && { [ ! -e bin ] || [ -x bin ]; }; then say "binary absent"
    else say "binary unknown no-access"
    fi
    text conf conf/tars.tarsnode.config.conf
    for p_f in start.sh stop.sh execute.sh monitor.sh; do text "util $p_f" "util/$p_f"; done
    if [ -f data/tars.tarsnode/conf/tars.tarsnode.config.conf ]; then say "generated 1"; else say "generated 0"; fi
  fi

  # The files of the other components that were asked for.
  for p_c in $P_SERVERS; do
    if [ ! -e "$P_TARS/$p_c" ]; then
      if [ -x "$P_TARS" ] || [ ! -e "$P_TARS" ]; then say "server $p_c absent"; else say "server $p_c unknown"; fi
    elif [ -f "$P_TARS/$p_c/bin/$p_c" ]; then
      cd "$P_TARS/$p_c" 2>/dev/null || { say "server $p_c unknown"; continue; }
      p_o=$(stat -L -c '%s %a %U' "bin/$p_c" 2>/dev/null)
      if [ -r "bin/$p_c" ] && digest "bin/$p_c"; then say "server $p_c file $D $p_o"; else say "server $p_c unknown"; fi
    elif [ -x "$P_TARS/$p_c" ] && { [ ! -e "$P_TARS/$p_c/bin" ] || [ -x "$P_TARS/$p_c/bin" ]; }; then say "server $p_c none"
    else say "server $p_c unknown"
    fi
  done

  # Processes. The patterns go in on standard input, never as arguments.
  if [ -r /proc/self/cmdline ]; then
    p_links=$(ls -l /proc/[0-9]*/exe 2>/dev/null)
    p_pids=$( { printf '%s\n' "$P_TARS/tarsnode/bin/tarsnode" "$P_TARS/tarsnode/data/" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null
                printf '%s\n' "$p_links" | grep -F -e "-> $P_TARS/tarsnode/" | sed 's|.* /proc/|/proc/|; s|/exe .*|/exe|'; } |
              sed 's|^/proc/||; s|/.*||' | sort -un )
    # Lines `PID/exe -> FILE` of the framework's components that run.
    p_own=$(printf '%s\n' "$p_links" | grep -F -e "-> $P_TARS/" | sed 's|.* /proc/||')
    p_rootid=$(stat -L -c '%d:%i' / 2>/dev/null)
    # The root and the owner of all of them, asked at once: lines `FILE DEVICE:INODE OWNER`.
    p_asked=
    for p_p in $p_pids $(printf '%s\n' "$p_own" | sed 's|/.*||'); do p_asked="$p_asked /proc/$p_p/root/ /proc/$p_p"; done
    p_stats=; [ -z "$p_asked" ] || p_stats=$(stat -L -c '%n %d:%i %U' $p_asked 2>/dev/null)
    for p_p in $p_pids; do
      [ "$p_p" = "$$" ] && continue
      p_cmd=$(enc <"/proc/$p_p/cmdline" 2>/dev/null)
      [ -n "$p_cmd" ] || continue
      foreign "$p_p" && continue
      owner "$p_p"
      p_exe=$(readlink "/proc/$p_p/exe" 2>/dev/null)
      D=-
      case "$p_exe" in
        "$P_TARS/tarsnode/data/"*) ;;
        "$P_TARS/tarsnode/"*) digest "/proc/$p_p/exe" || D=- ;;
      esac
      p_exe=${p_exe:+$(printf '%s\n' "$p_exe" | enc)}
      say "process $p_p ${p_who:-?} ${D:--} ${p_exe:--} $p_cmd"
    done
    # Executables of the framework's components that run, from this root only.
    p_exes=$(printf '%s\n' "$p_own" |
      while read -r p_e _ p_path; do
        [ -n "$p_e" ] || continue
        foreign "${p_e%/exe}" || printf '%s\n' "$p_path"
      done | sort -u | enc)
    say "exes $p_root ${p_exes:--}"
    for p_c in $P_SERVERS; do
      case "$p_own" in *"-> $P_TARS/$p_c/bin/$p_c"*) ;; *) continue ;; esac
      for p_p in $(printf '%s\n' "$p_own" | grep -F -e "-> $P_TARS/$p_c/bin/$p_c" | sed 's|/exe .*||'); do
        p_exe=$(readlink "/proc/$p_p/exe" 2>/dev/null)
        [ "${p_exe% (deleted)}" = "$P_TARS/$p_c/bin/$p_c" ] || continue
        foreign "$p_p" && continue
        owner "$p_p"
        digest "/proc/$p_p/exe" || D=-
        say "server-process $p_c $p_p ${p_who:-?} ${D:--} $(printf '%s' "$p_exe" | enc)"
      done
    done
    if [ $p_root = 1 ] || [ -d /proc/1 ]; then say "processes all"; else say "processes some"; fi
  else say "processes none"
  fi
  if [ -r /proc/net/tcp ]; then
    say "listen $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep ' 0A 0' | sed 's/^ *[0-9]*: //; s/ .*//' | sort -u | enc)"
  else say "listen -"
  fi

  say "remembered $P_REMEMBERED"
  # Remember digests that were read anew, where we may. A file touched within the last two seconds
  # could change again without its times changing, so it is not remembered.
  if [ -n "$P_FRESH" ] && [ -d "$P_BASE" ] && [ -w "$P_BASE" ]; then
    p_tmp=$P_BASE/digests.$$
    if printf '%s' "$P_KEEP" >"$p_tmp" 2>/dev/null; then
      p_new=$(find "$P_TARS"/*/bin -maxdepth 1 -type f -newermt '2 seconds ago' 2>/dev/null) || p_new=x
      if [ -z "$p_new" ]; then mv -f "$p_tmp" "$P_MEMO" 2>/dev/null || rm -f "$p_tmp"; else rm -f "$p_tmp"; fi
    else rm -f "$p_tmp" 2>/dev/null
    fi
  fi
  say "end $P_LINES"
}
probe </dev/null
exit 0
