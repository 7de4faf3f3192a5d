# Looks at one host and prints one framed answer. It changes nothing but the remembered digests; with
# P_FENCE, the id of a run that means to change the host, also that host's fence against older runs.
# Sent on standard input of `sh -s`; variables P_* stand before it, quoted, P_TREE among them: the text
# of tree.sh. Runs on dash, bash and busybox. No path of a component's binary may stand on a command line
# here: the framework's start.sh kills every process that has it among its arguments.
#
# Whose rights: root reads below the framework's folder only where only root can put names; otherwise
# that part of the look runs with the rights of the user who can. Processes count by whose they are.
#
# Answer: `tarsops-probe/1 <nonce>`, then lines `key word …`, last `end <number of lines>`.
# Free text is base64 in one word, `-` where it is empty.

say() { printf '%s\n' "$*"; P_LINES=$((P_LINES + 1)); }
eval "$P_TREE"
# What a process runs is read with the rights of its own user, H_UID.
H_UID=
hash_it() {
  if [ "$S_UID" != 0 ] || [ "${H_UID:-0}" = 0 ]; then sha "$1"
  else ( [ "$AS_UID" = "$H_UID" ] || AS_HOW=; AS_UID=$H_UID AS_GID=$H_GID; as_user "$P_SECONDS" sh -c "$P_PRELUDE
sha \"\$0\"" "$1" ); fi
}
exe_digest() { # exe_digest PID: D, `-` where it cannot be had
  H_UID=$O_UID H_GID=$O_GID; digest "/proc/$1/exe" || D=-
  H_UID=
  [ "$D" != - ] || return 0
  case "$D_NEWS" in
    used) P_REMEMBERED=1 P_KEEP="$P_KEEP$D_KEY $D
" ;;
    fresh) P_FRESH=1 P_KEEP="$P_KEEP$D_KEY $D
" ;;
  esac
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

# Folders of the framework may be links; the kernel names what a process runs by where that really lies.
# R_LIST: lines `REAL<tab>NAMED` for each folder that lies elsewhere than it is named, the inner ones first.
real_folders() {
  R_LIST=
  cd -P "$P_TARS" 2>/dev/null || return 0
  r_top=$PWD
  [ "$r_top" = "$P_TARS" ] || real_folder "$P_TARS"
  for r_name in */; do
    for r_dir in "${r_name%/}" "${r_name}bin" "${r_name}data"; do
      [ -h "$r_dir" ] && cd -P "$r_dir" 2>/dev/null || continue
      real_folder "$P_TARS/$r_dir"
      cd "$r_top" || return 0
    done
  done
}
real_folder() { # real_folder NAMED: the current folder is it
  case "$PWD$1" in
    *"	"* | *"
"*) ;; # What cannot be told apart in a list stays as the kernel names it.
    *) R_LIST="$PWD	$1
$R_LIST" ;;
  esac
}
# P_NAMED: a real path as the framework names it.
named() { # named PATH
  P_NAMED=$1
  [ -n "$R_LIST" ] || return 0
  while IFS= read -r r_line; do
    case "$1" in
      "${r_line%%	*}"/*) [ -z "$r_line" ] || { P_NAMED=${r_line#*	}${1#"${r_line%%	*}"}; return 0; } ;;
    esac
  done <<R_END
$R_LIST
R_END
}

# Names each program that is there and does not work. It is asked only where an answer shows that one does not.
try_tools() {
  [ -z "$P_TRIED" ] || return 0
  P_TRIED=1
  for p_try in 'ls -d /' 'stat -L -c %d:%i /' 'readlink /proc/self/exe' 'grep -c ^ /proc/self/status' 'sed -n 1p' 'sort -u' \
    'tr a b' 'head -c 1' 'find / -prune' 'cat' 'date +%s' 'id -u'; do
    # shellcheck disable=SC2086 # a program and its options
    p_said=$(bounded 9 $p_try </dev/null 2>&1) && continue
    say "broken ${p_try%% *} $(printf '%s\n' "${p_said##*"
"}" | enc_all)"
  done
}

probe() {
  P_LINES=0 P_SEEN='' P_FRESH='' P_KEEP='' P_REMEMBERED=0
  P_TRIED='' P_ENC=od
  # By a try, the best one first.
  if [ "$(printf x | base64 -w0 2>/dev/null)" = eA== ]; then P_ENC=whole
  elif [ "$(printf x | base64 2>/dev/null)" = eA== ]; then P_ENC=base64
  elif [ "$(printf x | openssl base64 -A 2>/dev/null)" = eA== ]; then P_ENC=openssl
  fi
  P_TARS=$P_INSTALL/tars
  state_folder "$P_INSTALL" "$P_CLUSTER"
  P_BASE=${S_OLD:-$B}
  P_MEMO=$P_BASE/digests
  say "tarsops-probe/1 $P_NONCE"
  find_bound
  p_now=$(date +%s 2>/dev/null)
  case "$p_now" in '' | *[!0-9]*) try_tools ;; *) say "clock $p_now" ;; esac
  p_uid=$S_UID
  p_user=$(id -un 2>/dev/null || printf '%s\n' "$p_uid")
  p_root=0; [ "$p_uid" = 0 ] && p_root=1
  look_up "$P_RUN_USER"
  # Root has a name wherever id(1) works.
  [ "$p_user" != 0 ] || try_tools
  p_known=0 p_run_uid=$ID_UID; [ -z "$ID_UID" ] || p_known=1
  say "user $p_user $p_root"
  p_id=; [ ! -r /proc/sys/kernel/hostname ] || read -r p_id </proc/sys/kernel/hostname
  say "hostname $(printf '%s\n' "${p_id:-$(uname -n)}" | enc_all)"
  p_mid=${TARSOPS_MACHINE_ID:-/etc/machine-id}
  [ -r "$p_mid" ] || p_mid=/var/lib/dbus/machine-id
  if [ -r "$p_mid" ]; then read -r p_id <"$p_mid"; say "machine-id ${p_id:--}"; else say "machine-id -"; fi
  p_id=; [ -r /proc/sys/kernel/random/boot_id ] && read -r p_id </proc/sys/kernel/random/boot_id
  say "boot-id ${p_id:--}"
  p_up=; [ -r /proc/uptime ] && read -r p_up _ </proc/uptime
  say "uptime ${p_up:--}"
  if has ip && p_out=$(bounded 10 ip -o addr show 2>/dev/null); then say "interfaces ip $(printf '%s\n' "$p_out" | enc_all)"
  elif has ifconfig && p_out=$(bounded 10 ifconfig -a 2>/dev/null); then say "interfaces ifconfig $(printf '%s\n' "$p_out" | enc_all)"
  elif has hostname && p_out=$(bounded 10 hostname -I 2>/dev/null); then say "interfaces hostname $(printf '%s\n' "$p_out" | enc_all)"
  elif [ -r /proc/net/fib_trie ]; then say "interfaces fib $(grep -B1 'host LOCAL' /proc/net/fib_trie | enc_all)"
  else say "interfaces none -"
  fi
  for p_t in crontab flock setsid sudo su runuser useradd ss pgrep sha256sum openssl base64 stat find sync; do
    # What a change cannot do without has to work.
    case "$p_t" in
      flock) has flock && flock -u 9 9</dev/null 2>/dev/null ;;
      setsid) has setsid && setsid true 2>/dev/null ;;
      *) has "$p_t" ;;
    esac
    # shellcheck disable=SC2181 # of the whole `case`
    if [ $? = 0 ]; then say "tool $p_t 1"; else say "tool $p_t 0"; fi
  done

  say "run-user $p_known"
  p_dir=$P_INSTALL
  while [ ! -d "$p_dir" ] && [ -n "$p_dir" ]; do p_dir=${p_dir%/*}; done
  p_own=$P_BASE
  while [ ! -d "$p_own" ] && [ -n "$p_own" ]; do p_own=${p_own%/*}; done
  # Of the framework's disk and the one with our own files the fuller one counts.
  p_df=$(bounded 10 df -Pk "${p_dir:-/}" "${p_own:-/}" 2>/dev/null) || [ $? != 137 ] || p_df=slow
  p_free=-
  while read -r _ _ _ p_a _; do
    case "$p_a" in '' | *[!0-9]*) continue ;; esac
    if [ "$p_free" = - ] || [ "$p_a" -lt "$p_free" ]; then p_free=$p_a; fi
  done <<P_END
$p_df
P_END
  [ "$p_df" != slow ] || p_free=slow
  say "disk $p_free"
  # -w asks access(2), which tells a read-only file system too.
  if [ -w "${p_dir:-/}" ] && [ -w "${p_own:-/}" ]; then say "writable 1"; else say "writable 0"; fi

  if ! has crontab; then say "crontab unknown no-crontab-program -"
  else
    # Standard error is asked for only where there is no text, so that the text is exact.
    if [ "$p_user" = "$P_RUN_USER" ]; then set -- crontab -l
    elif [ $p_root = 1 ]; then set -- crontab -u "$P_RUN_USER" -l
    else set --
    fi
    # A user who is not there yet has none; asked about him, crontab(1) only fails.
    if [ $p_root = 1 ] && [ $p_known = 0 ]; then say "crontab absent"
    elif [ $# = 0 ]; then say "crontab unknown error $(echo 'only root may read the crontab of another user' | enc_all)"
    else
      p_cron=$(bounded 10 "$@" 2>/dev/null; echo "x$?")
      p_rc=${p_cron##*x}; p_cron=${p_cron%x*}
      case $p_rc in
        0) p_b=$(printf '%s' "$p_cron" | enc_all); say "crontab text ${p_b:--}" ;;
        137) say "crontab unknown error $(echo 'crontab -l did not answer within 10 s' | enc_all)" ;;
        *)
          p_cron=$(bounded 10 "$@" 2>&1)
          if no_crontab "$p_cron"; then say "crontab absent"
          else say "crontab unknown error $(printf '%s\n' "$p_cron" | enc_all)"
          fi ;;
      esac
    fi
  fi

  # A run that may change this host says so before it looks, and older ones do not begin here any more.
  if [ -n "$P_FENCE" ]; then
    read_fence
    if [ "$FENCE" != "$P_FENCE" ] && make_state "$P_INSTALL"; then
      if [ -z "$FENCE" ] || newer_run "$P_FENCE" "$FENCE"; then raise_fence "$P_FENCE" 2>/dev/null || :; fi
      P_BASE=$B P_MEMO=$B/digests
    fi
  fi
  # Root may have the monitor in its own crontab, or in one of the system. Where nobody has one, nothing is started.
  if [ $p_root = 1 ] && [ "$p_user" != "$P_RUN_USER" ] && has crontab; then
    for p_f in /var/spool/cron/crontabs/root /var/spool/cron/root /var/spool/cron/tabs/root /etc/crontabs/root; do
      [ -f "$p_f" ] || continue
      p_cron=$(bounded 10 crontab -l 2>/dev/null | grep -e '=' -e 'monitor\.sh' -e 'check\.sh')
      case "$p_cron" in *.sh*) say "other-crontab root $(printf '%s\n' "$p_cron" | enc_all)" ;; esac
      break
    done
  fi
  p_cron=$(grep -hs -e '=' -e 'monitor\.sh' -e 'check\.sh' /etc/crontab /etc/cron.d/*)
  case "$p_cron" in *monitor.sh* | *check.sh*) say "other-crontab system $(printf '%s\n' "$p_cron" | enc_all)" ;; esac

  # What tarsops left here.
  # What others could have written there is not read.
  if [ -d "$P_BASE" ] && ! trusted "$P_BASE"; then p_own=$P_BASE; P_BASE='' P_MEMO=; say "base untrusted $(printf '%s\n' "$UNSAFE, on the way to $p_own" | enc_all)"
  elif [ -d "$P_BASE" ]; then
    if [ -r "$P_BASE" ] && [ -x "$P_BASE" ]; then
      say "base 1"
      [ -r "$P_BASE/fence" ] && read -r p_f <"$P_BASE/fence" && say "fence $p_f"
      if [ -r "$P_BASE/current" ]; then
        read -r p_r p_s <"$P_BASE/current"
        p_alive=0
        flock -n "$P_BASE/lock" true 2>/dev/null; [ $? != 1 ] || p_alive=1
        say "current $p_r $p_s $p_alive"
      fi
      if [ -r "$P_BASE/lease" ]; then say "lease $(date +%s) $(enc_all <"$P_BASE/lease")"; fi
      [ -r "$P_BASE/labels" ] && say "labels $(enc_all <"$P_BASE/labels")"
      for p_f in "$P_BASE"/restart.*; do
        [ -f "$p_f" ] && say "restart $(printf '%s' "${p_f##*/restart.}" | enc_all)"
      done
      for p_f in "$P_BASE"/stage/*; do
        case "${p_f##*/}" in *[!0-9a-f]*) ;; *) [ -f "$p_f" ] && say "staged ${p_f##*/}" ;; esac
      done
    else say "base no-access"
    fi
  else say "base 0"
  fi

  # Files below the framework's folder.
  P_MEMO_TEXT=
  [ -z "$P_MEMO" ] || [ ! -r "$P_MEMO" ] || P_MEMO_TEXT="
$(head -c 65536 "$P_MEMO")
"
  P_KNOWN=$p_known
  p_uids="0 $p_uid $p_run_uid"
  if [ -d "$P_INSTALL" ] && cd "$P_INSTALL" 2>/dev/null; then
    set -- tars
    for p_c in tarsnode $P_SERVERS; do set -- "$@" "tars/$p_c" "tars/$p_c/bin"; done
    tree_rights "$P_INSTALL" "$P_RUN_USER" "$@" tars/tarsnode/conf tars/tarsnode/util
    p_uids="$p_uids $r_owner"
    # Where anybody can write, the rights of nobody in particular are enough to read.
    [ -z "$AS_WHY" ] || AS_UID=65534 AS_GID=65534
    if [ -z "$AS_UID" ]; then p_below=$(look_below)
    else
      export P_ENC P_INSTALL P_RUN_USER P_KNOWN P_SERVERS P_REHASH P_MEMO_TEXT
      p_below=$(as_user "$P_SECONDS" sh -c "$P_PRELUDE
$P_TREE
look_below" | head -c 8388608)
    fi
  else p_below=$(cd / && look_below)
  fi
  p_whole=0 p_touched=0
  while IFS= read -r p_line; do
    # Only what such a look can say is passed on: who gave the rights could write anything here.
    case "$p_line" in
      'broken '* | 'installed '* | 'agent '* | 'folder '* | 'strangers '* | 'binary '* | 'conf '* | 'util '* | 'generated '* | 'server '*) say "$p_line" ;;
      'used '*) P_REMEMBERED=1; p_line=${p_line#* }; P_KEEP="$P_KEEP$p_line
"; P_SEEN="$P_SEEN|${p_line% *}=${p_line##* }|" ;;
      'fresh '*) p_line=${p_line#* }; P_KEEP="$P_KEEP$p_line
"; P_SEEN="$P_SEEN|${p_line% *}=${p_line##* }|" P_FRESH=1 ;;
      touched) p_touched=1 ;;
      tree-end) p_whole=1 ;;
    esac
  done <<P_END
$p_below
P_END
  [ $p_whole = 1 ] || try_tools
  if [ $p_whole = 0 ]; then say "agent unknown"; say "installed unknown -"; fi

  # Processes. The patterns go in on standard input, never as arguments.
  if [ -r /proc/self/cmdline ]; then
    p_links=$(ls -l /proc/[0-9]*/exe 2>/dev/null)
    case "$p_links" in *"/proc/$$/exe -> "*) ;; *) try_tools ;; esac
    # A process that is none goes the same ways, so that a program on them that does not work is noticed.
    p_links="$p_links
/proc/0/exe -> $P_TARS/tarsnode/none"
    real_folders
    [ -z "$R_LIST" ] || p_links=$(printf '%s\n' "$p_links" |
      while IFS= read -r p_e; do named "${p_e#* -> }"; printf '%s -> %s\n' "${p_e%% -> *}" "$P_NAMED"; done)
    p_pids=$( { with_words "$P_TARS/tarsnode/bin/tarsnode" "$P_TARS/tarsnode/data/"
                printf '%s\n' "$p_links" | grep -F -e "-> $P_TARS/tarsnode/" | sed 's|.* /proc/|/proc/|; s|/exe .*|/exe|'; } |
              sed 's|^/proc/||; s|/.*||' | sort -un )
    case "$p_pids" in 0 | "0
"*) ;; *) try_tools ;; esac
    # Lines `PID/exe -> FILE` of the framework's components that run.
    p_own=$(printf '%s\n' "$p_links" | grep -F -e "-> $P_TARS/" | sed 's|.* /proc/||')
    p_rootid=$(stat -L -c '%d:%i' / 2>/dev/null)
    case "$p_rootid" in [0-9]*:[0-9]*) ;; *) try_tools ;; esac
    # The root and the owner of all of them, asked at once: lines `FILE DEVICE:INODE OWNER`.
    p_asked=
    for p_p in $p_pids $(printf '%s\n' "$p_own" | sed 's|/.*||'); do p_asked="$p_asked /proc/$p_p/root/ /proc/$p_p"; done
    p_stats=''
    # shellcheck disable=SC2086 # the files are words
    [ -z "$p_asked" ] || p_stats=$(stat -L -c '%n %d:%i %U' $p_asked 2>/dev/null)
    UIDS=$p_uids p_word=
    for p_p in $p_pids; do
      [ "$p_p" != "$$" ] && [ "$p_p" != 0 ] || continue
      ours "$p_p" || { [ -z "$O_OTHER" ] || say "impostor $p_p $O_OTHER"; continue; }
      p_cmd=$(enc_all <"/proc/$p_p/cmdline" 2>/dev/null)
      [ -n "$p_cmd" ] || continue
      foreign "$p_p" && continue
      owner "$p_p"
      named "$(readlink "/proc/$p_p/exe" 2>/dev/null)"; p_exe=$P_NAMED
      [ -n "$p_exe" ] || case "$p_links" in *"/proc/$p_p/exe -> "*) try_tools ;; esac
      D=-
      case "$p_exe" in
        "$P_TARS/tarsnode/data/"*) ;;
        "$P_TARS/tarsnode/"*) exe_digest "$p_p" ;;
        # The program itself may be a link: then it is the first word that names it.
        ?*)
          [ -n "$p_word" ] || p_word=$(printf '%s' "$P_TARS/tarsnode/bin/tarsnode" | enc_all)
          case "$p_cmd" in "${p_word%????}"*) exe_digest "$p_p" ;; esac ;;
      esac
      p_exe=${p_exe:+$(printf '%s\n' "$p_exe" | enc_all)}
      say "process $p_p ${p_who:-?} ${D:--} ${p_exe:--} $p_cmd"
    done
    # Where no tarsnode lies, one may run from another place: the path of the spec is wrong then.
    if [ ! -d "$P_TARS/tarsnode" ]; then
      case "$p_links" in *"/tars/tarsnode/bin/tarsnode"*)
        p_where=$(printf '%s\n' "$p_links" | sed -n 's|.* /proc/\([0-9]*\)/exe -> \(/.*\)/tars/tarsnode/bin/tarsnode$|\1 \2|p' | head -n 20 |
          while read -r p_p p_path; do
            # Not of a container on this host.
            [ "$(stat -L -c '%d:%i' "/proc/$p_p/root/" 2>/dev/null)" != "$p_rootid" ] || printf '%s\n' "$p_path"
          done | sort -u | head -n 1 | enc_all)
        [ -z "$p_where" ] || say "elsewhere $p_where" ;;
      esac
    fi
    # Executables of the framework's components that run, from this root only.
    p_exes=$(printf '%s\n' "$p_own" |
      while read -r p_e _ p_path; do
        [ -n "$p_e" ] && ours "${p_e%/exe}" || continue
        foreign "${p_e%/exe}" || printf '%s\n' "$p_path"
      done | sort -u | enc_all)
    say "exes $p_root ${p_exes:--}"
    for p_c in $P_SERVERS; do
      case "$p_own" in *"-> $P_TARS/$p_c/bin/$p_c"*) ;; *) continue ;; esac
      for p_p in $(printf '%s\n' "$p_own" | grep -F -e "-> $P_TARS/$p_c/bin/$p_c" | sed 's|/exe .*||'); do
        named "$(readlink "/proc/$p_p/exe" 2>/dev/null)"; p_exe=$P_NAMED
        [ "${p_exe% (deleted)}" = "$P_TARS/$p_c/bin/$p_c" ] || continue
        ours "$p_p" || continue
        foreign "$p_p" && continue
        owner "$p_p"
        exe_digest "$p_p"
        say "server-process $p_c $p_p ${p_who:-?} ${D:--} $(printf '%s' "$p_exe" | enc_all)"
      done
    done
    if [ $p_root = 1 ] || [ -d /proc/1 ]; then say "processes all"; else say "processes some"; fi
  else say "processes none"
  fi
  if [ -r /proc/net/tcp ]; then
    say "listen $(grep -h ' 0A 0' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sed 's/^ *[0-9]*: //; s/ .*//' | sort -u | enc_all)"
  else say "listen -"
  fi

  say "remembered $P_REMEMBERED"
  # Remember digests that were read again, where we may. A file touched within the last two seconds
  # could change again without its times changing, so it is not remembered.
  if [ -n "$P_FRESH" ] && [ -d "$P_BASE" ] && [ -w "$P_BASE" ]; then
    p_tmp=$P_BASE/digests.$$
    if ( umask 077; printf '%s' "$P_KEEP" >"$p_tmp" ) 2>/dev/null; then
      if [ $p_touched = 0 ]; then mv -f "$p_tmp" "$P_MEMO" 2>/dev/null || rm -f "$p_tmp"; else rm -f "$p_tmp"; fi
    else rm -f "$p_tmp" 2>/dev/null
    fi
  fi
  say "end $P_LINES"
}
probe </dev/null
exit 0
