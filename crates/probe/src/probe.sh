# Looks at one host and prints one framed answer. It changes nothing but the remembered digests; with
# P_FENCE, the id of a run that means to change the host, also that host's fence against older runs.
# Sent on standard input of `sh -s`; variables P_* stand before it, quoted, P_TREE among them: the text
# of tree.sh. Runs on dash, bash and busybox. No path of a component's binary may stand on a command line
# here: the framework's start.sh kills every process that has it among its arguments.
#
# Whose rights: root reads below the framework's folder only where only root can put names; otherwise
# that part of the look runs with the rights of the user who can. Processes count by whose they are.
#
# Answer: `tarsops-probe/2 <nonce>`, then lines `key word …`, last `end <number of lines>`. Free text is the
# rest of its line; where it may have several lines, each follows with a `+` before it. What a program prints
# comes as it is: behind a line that ends with the word `raw`, until `<nonce> <status>` on a line of its own;
# or in lines `FILE:LINE` of grep. Lines of programs are not counted. So no program is started to encode text.

# A line has one line, whatever is in it.
say() { s_all=$*; printf '%s\n' "${s_all%%"$NL"*}"; P_LINES=$((P_LINES + 1)); }
say_lines() { # say_lines TEXT
  [ -n "$1" ] || return 0
  set -f; s_ifs=$IFS; IFS=$NL
  for s_line in $1; do say "+$s_line"; done
  IFS=$s_ifs; set +f
}
say_file() { # say_file FILE: a small file of our own
  while IFS= read -r s_line || [ -n "$s_line" ]; do say "+$s_line"; done <"$1"
}
say_raw() { printf '\n%s %s\n' "$P_NONCE" "$1"; } # say_raw STATUS: after the program
# As bounded, in a shell of its own, which becomes the program.
exec_bounded() { [ "$S_BOUND" = none ] || exec $S_BOUND "$@"; bounded "$@"; }
eval "$P_TREE"
# What a process runs is read with the rights of its own user, H_UID.
H_UID=
hash_it() {
  if [ "$S_UID" != 0 ] || [ "${H_UID:-0}" = 0 ]; then sha "$1"
  else SHA=$(AS_HOW=; AS_UID=$H_UID AS_GID=$H_GID; as_user "$P_SECONDS" sh -c "$P_PRELUDE
sha \"\$0\"; echo \"\$SHA\"" "$1"); fi
}
exe_digest() { # exe_digest PID: D, `-` where it cannot be had
  H_UID=$O_UID H_GID=$O_GID; digest "/proc/$1/exe" || D=-
  H_UID=
  [ "$D" != - ] || return 0
  [ -z "$D_NEWS" ] || remember "$D_NEWS" "$D_KEY $D"
}
# A digest for the next look, and whether it is of an earlier one or was read now.
remember() { # remember used|fresh LINE
  P_KEEP="$P_KEEP$2$NL"
  if [ "$1" = used ]; then P_REMEMBERED=1; else P_FRESH=1; fi
}

# Whether a process has another root than we, so far as that can be told: a container on this host may
# hold an installation under the same path.
foreign() { # foreign PID
  stat_of "/proc/$1/root/" || return 1
  case "$T_KEY" in "$p_rootid":*) return 1 ;; esac
}
# A component of a container on this host, by the place that its container has it at.
inside() { # inside PID
  exe_of "$1"
  case "$P_EXE" in *"$NL"*) return 0 ;; "$P_TARS/"*) ;; *) return 0 ;; esac
  i_c=${P_EXE#"$P_TARS/"}; i_c=${i_c%%/*}
  case " tarsnode $P_SERVERS " in *" $i_c "*) ;; *) return 0 ;; esac
  [ "${P_EXE% (deleted)}" = "$P_TARS/$i_c/bin/$i_c" ] || return 0
  # A container's are root's; what others run is not read with root's rights.
  owner "$1"
  D=-; [ "$p_who" != root ] || { O_UID=0 O_GID=0; exe_digest "$1"; }
  P_INSIDE="$P_INSIDE$1 $i_c ${D:--}$NL"
}
owner() { # owner PID → $p_who, nothing where it is gone
  p_who='' T_OWNER=; ! stat_of "/proc/$1" || p_who=$T_OWNER
}
# P_EXE: what a process runs, by the lines `PID FILE` of those that count. A list of lines can be made to lie by
# the name of a file.
exe_of() { # exe_of PID
  P_EXE=
  line_of "$1" "$p_exe_of" || return 0
  P_EXE=$L_REST
  # shellcheck disable=SC3013 # where a shell does not know it, the program is asked
  [ "/proc/$1/exe" -ef "$P_EXE" ] 2>/dev/null || P_EXE=$(readlink "/proc/$1/exe" 2>/dev/null) || try_tool readlink readlink /proc/self/exe
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
  for p_try in 'ls -d /' 'stat -L -c %d:%i /' 'readlink /proc/self/exe' 'grep -c ^ /proc/self/status' 'find / -prune' \
    'date +%s' 'id -u'; do
    # shellcheck disable=SC2086 # a program and its options
    try_tool "${p_try%% *}" $p_try
  done
}
try_tool() { # try_tool NAME PROGRAM WORD…
  # It may be timeout(1) that does not work.
  [ "$S_BOUND" = none ] || find_bound
  p_name=$1; shift
  p_said=$(bounded 9 "$@" </dev/null 2>&1) || say "broken $p_name ${p_said##*"$NL"}"
}

probe() {
  P_LINES=0 P_SEEN='' P_FRESH='' P_KEEP='' P_REMEMBERED=0
  P_TRIED='' P_IFS=$IFS
  P_TARS=$P_INSTALL/tars
  state_folder "$P_INSTALL" "$P_CLUSTER"
  P_BASE=${S_OLD:-$B}
  P_MEMO=$P_BASE/digests
  say "tarsops-probe/2 $P_NONCE"
  # Tried where it first fails, as a small timeout(1) may read its words in another way.
  S_BOUND=none; ! has timeout || S_BOUND="timeout -s KILL"
  P_NOW=$(date +%s 2>/dev/null)
  case "$P_NOW" in '' | *[!0-9]*) P_NOW=; try_tools ;; *) say "clock $P_NOW" ;; esac
  p_uid=$S_UID
  p_root=0 p_user=root; [ "$p_uid" != 0 ] || p_root=1
  [ $p_root = 1 ] || p_user=$(id -un 2>/dev/null) || p_user=$p_uid
  look_up "$P_RUN_USER"
  p_known=0 p_run_uid=$ID_UID; [ -z "$ID_UID" ] || p_known=1
  [ $p_known = 1 ] || try_tool id id -u
  say "user $p_user $p_root"
  p_id=; [ ! -r /proc/sys/kernel/hostname ] || read -r p_id </proc/sys/kernel/hostname
  say "hostname ${p_id:-$(uname -n)}"
  p_mid=${TARSOPS_MACHINE_ID:-/etc/machine-id}
  [ -r "$p_mid" ] || p_mid=/var/lib/dbus/machine-id
  if [ -r "$p_mid" ]; then read -r p_id <"$p_mid"; say "machine-id ${p_id:--}"; else say "machine-id -"; fi
  p_id=; [ -r /proc/sys/kernel/random/boot_id ] && read -r p_id </proc/sys/kernel/random/boot_id
  say "boot-id ${p_id:--}"
  p_up=; [ -r /proc/uptime ] && read -r p_up _ </proc/uptime
  say "uptime ${p_up:--}"
  # The kernel's own list of local addresses, and the crontabs of the system, in lines `FILE:LINE`. Other lines of
  # crontabs are not asked for.
  p_fib=
  p_count=0
  [ ! -r /proc/net/route ] || while [ $p_count -lt 500 ] && read -r p_line; do p_count=$((p_count + 1)); done </proc/net/route
  # A router's table is long, and has all of its routes.
  if [ -n "${TARSOPS_ADDRESS:-}" ]; then say "interfaces hostname"; say "+$TARSOPS_ADDRESS"
  elif [ -r /proc/net/fib_trie ] && [ $p_count -lt 500 ]; then say "interfaces fib"; p_fib=/proc/net/fib_trie
  elif has ip && p_out=$(exec_bounded 10 ip -o addr show 2>/dev/null); then say "interfaces ip"; say_lines "$p_out"
  elif has ifconfig && p_out=$(exec_bounded 10 ifconfig -a 2>/dev/null); then say "interfaces ifconfig"; say_lines "$p_out"
  elif has hostname && p_out=$(exec_bounded 10 hostname -I 2>/dev/null); then say "interfaces hostname"; say_lines "$p_out"
  else say "interfaces none"
  fi
  # shellcheck disable=SC2086 # files of fixed names
  grep -aHs -m 4096 -e = -e 'monitor\.sh' -e 'check\.sh' -e '|-- ' -e 'host LOCAL' -e '^[0-9a-f]\{32\} ' \
    ${p_fib:+$p_fib /proc/net/if_inet6} /etc/crontab /etc/cron.d/* 2>/dev/null
  # 2: a file is not there.
  [ $? -le 2 ] || try_tool grep grep -c ^ /proc/self/status
  # What a change cannot do without has to work.
  p_works='flock setsid'
  setsid flock -u 9 9</dev/null 2>/dev/null || {
    p_works=
    ! has flock || ! flock -u 9 9</dev/null 2>/dev/null || p_works=flock
    ! has setsid || ! setsid true 2>/dev/null || p_works="$p_works setsid"
  }
  for p_t in crontab flock setsid sudo su runuser useradd ss pgrep sha256sum openssl base64 stat find sync; do
    p_has=0
    case "$p_t" in
      flock | setsid) case " $p_works " in *" $p_t "*) p_has=1 ;; esac ;;
      *) ! has "$p_t" || p_has=1 ;;
    esac
    say "tool $p_t $p_has"
  done

  say "run-user $p_known"
  p_dir=$P_INSTALL
  while [ ! -d "$p_dir" ] && [ -n "$p_dir" ]; do p_dir=${p_dir%/*}; done
  p_own=$P_BASE
  while [ ! -d "$p_own" ] && [ -n "$p_own" ]; do p_own=${p_own%/*}; done
  # Of the framework's disk and the one with our own files the fuller one counts.
  p_df=$(exec_bounded 10 df -Pk "${p_dir:-/}" "${p_own:-/}" 2>/dev/null)
  case $? in
    0) ;;
    137) p_df=slow ;;
    *) find_bound; p_df=$(bounded 10 df -Pk "${p_dir:-/}" "${p_own:-/}" 2>/dev/null) || [ $? != 137 ] || p_df=slow ;;
  esac
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

  if ! has crontab; then say "crontab no-program"
  else
    # Standard error is asked for only where there is no text, so that the text is exact.
    if [ "$p_user" = "$P_RUN_USER" ]; then set -- crontab -l
    elif [ $p_root = 1 ]; then set -- crontab -u "$P_RUN_USER" -l
    else set --
    fi
    # A user who is not there yet has none; asked about him, crontab(1) only fails.
    if [ $p_root = 1 ] && [ $p_known = 0 ]; then say "crontab absent"
    elif [ $# = 0 ]; then say "crontab error"; say "+only root may read the crontab of another user"
    else
      say "crontab raw"
      bounded 10 "$@" 2>/dev/null
      p_rc=$?; say_raw $p_rc
      case $p_rc in
        0) ;;
        137) say "crontab error"; say "+crontab -l did not answer within 10 s" ;;
        *)
          p_cron=$(exec_bounded 10 "$@" 2>&1)
          if no_crontab "$p_cron"; then say "crontab absent"
          else say "crontab error"; say_lines "$p_cron"
          fi ;;
      esac
    fi
  fi

  # A run that may change this host says so before it looks, and older ones do not begin here any more.
  if [ -n "$P_FENCE" ]; then
    read_fence
    # What its scripts use and no look does has to work there. The first look of the run asks for it.
    [ "$FENCE" = "$P_FENCE" ] || for p_try in 'sort' 'sed -n 1p' 'head -c 1' 'readlink /proc/self/exe'; do
      # shellcheck disable=SC2086 # a program and its options
      $p_try </dev/null >/dev/null 2>&1 || try_tool "${p_try%% *}" $p_try
    done
    if [ "$FENCE" != "$P_FENCE" ] && make_state "$P_INSTALL"; then
      if [ -z "$FENCE" ] || newer_run "$P_FENCE" "$FENCE"; then raise_fence "$P_FENCE" 2>/dev/null || :; fi
      P_BASE=$B P_MEMO=$B/digests
    fi
  fi
  # Root may have the monitor in its own crontab, or in one of the system. Where nobody has one, nothing is started.
  if [ $p_root = 1 ] && [ "$p_user" != "$P_RUN_USER" ] && has crontab; then
    for p_f in /var/spool/cron/crontabs/root /var/spool/cron/root /var/spool/cron/tabs/root /etc/crontabs/root; do
      [ -f "$p_f" ] || continue
      say "other-crontab raw"
      bounded 10 crontab -l 2>/dev/null
      say_raw $?
      break
    done
  fi

  # What tarsops left here.
  # What others could have written there is not read.
  if [ -d "$P_BASE" ] && ! trusted "$P_BASE"; then p_own=$P_BASE; P_BASE='' P_MEMO=; say "base untrusted $UNSAFE, on the way to $p_own"
  elif [ -d "$P_BASE" ]; then
    if [ -r "$P_BASE" ] && [ -x "$P_BASE" ]; then
      say "base 1"
      [ -r "$P_BASE/fence" ] && read -r p_f <"$P_BASE/fence" && say "fence $p_f"
      if [ -s "$P_BASE/current" ] && [ -r "$P_BASE/current" ]; then
        read -r p_r p_s <"$P_BASE/current"
        p_alive=0
        flock -n "$P_BASE/lock" true 2>/dev/null; [ $? != 1 ] || p_alive=1
        say "current $p_r $p_s $p_alive"
      fi
      if [ -r "$P_BASE/lease" ]; then say "lease ${P_NOW:--}"; say_file "$P_BASE/lease"; fi
      if [ -r "$P_BASE/labels" ]; then say labels; say_file "$P_BASE/labels"; fi
      for p_f in "$P_BASE"/restart.*; do
        [ -f "$p_f" ] && say "restart ${p_f##*/restart.}"
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
  if [ -n "$P_MEMO" ] && [ -r "$P_MEMO" ]; then
    p_count=0
    while read -r p_line && [ $p_count -lt 400 ]; do P_MEMO_TEXT="$P_MEMO_TEXT$p_line$NL" p_count=$((p_count + 1)); done <"$P_MEMO"
  fi
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
      export P_INSTALL P_RUN_USER P_KNOWN P_SERVERS P_REHASH P_MEMO_TEXT P_NOW
      p_all="$P_PRELUDE
$P_TREE
look_below"
      # What such a user sends has an end, whatever he does: of time by timeout(1), and here of memory.
      # shellcheck disable=SC3045 # where a shell has no such limit, there is none
      ulimit -S -v 262144 2>/dev/null || :
      p_below='' p_rc=1
      # The best way to drop rights is not tried first: what it does shows by the answer.
      if [ "$ID_UID" = "$AS_UID" ] && [ "$S_BOUND" != none ] && has setpriv; then
        p_below=$(AS_HOW=setpriv AS_BOUND=$S_BOUND AS_GROUPS=--init-groups AS_EXEC=1; as_user "$P_SECONDS" sh -c "$p_all" 2>/dev/null)
        p_rc=$?
      fi
      # 137: it took too long, and would again.
      case "$p_rc $p_below" in
        *tree-end | '137 '*) ;;
        *) p_below=$(as_user "$P_SECONDS" sh -c "$p_all") ;;
      esac
      # shellcheck disable=SC3045 # as above
      ulimit -S -v unlimited 2>/dev/null || :
    fi
  else p_below=$(cd / && look_below)
  fi
  p_whole=0 p_touched=0
  set -f; IFS=$NL
  for p_line in $p_below; do
    IFS=$P_IFS
    # Only what such a look can say is passed on: who gave the rights could write anything here.
    case "$p_line" in
      'broken '* | 'installed '* | 'has '* | 'agent '* | 'folder '* | 'strangers '* | 'stranger '* | 'binary '* | 'conf '* | 'util '* | 'generated '* | 'server '* | tars/tarsnode/conf/*:* | tars/tarsnode/util/*:*) say "$p_line" ;;
      'used '* | 'fresh '*) remember "${p_line%% *}" "${p_line#* }"; P_SEEN="$P_SEEN${p_line#* }$NL" ;;
      touched) p_touched=1 ;;
      tree-end) p_whole=1 ;;
    esac
  done
  IFS=$P_IFS; set +f
  [ $p_whole = 1 ] || try_tools
  if [ $p_whole = 0 ]; then say "agent unknown"; say "installed unknown"; fi

  P_INSIDE=''
  # Processes. The patterns go in on standard input, never as arguments.
  if [ -r /proc/self/cmdline ]; then
    p_links=$NL$(ls -l /proc/[0-9]*/exe 2>/dev/null)
    case "$p_links" in *"/proc/$$/exe -> "*) ;; *) try_tools ;; esac
    real_folders
    # Who runs something of the framework, as it is named and as it really lies. Of the agent's those too that
    # only name it, as a program that is a link or a script does.
    # shellcheck disable=SC2062 # the pattern is one of file names
    p_words=$(grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null <<P_END
$P_TARS/tarsnode/bin/tarsnode
$P_TARS/tarsnode/data/
P_END
    ) || [ $? -lt 126 ] || try_tools
    p_agents=' ' p_others='' p_asked='' p_elsewhere='' p_exe_of=
    for p_f in $p_words; do
      p_p=${p_f#/proc/}; p_p=${p_p%%/*}
      [ "$p_p" = "$$" ] || { p_agents="$p_agents$p_p " p_asked="$p_asked /proc/$p_p /proc/$p_p/root/ /proc/$p_p/exe"; }
    done
    set -f; IFS=$NL
    for p_line in $p_links; do
      # Most lines are of nobody, and go no further.
      case "$p_line" in
        *" /proc/"*"/exe -> $P_TARS/"* | */tars/tarsnode/bin/tarsnode) ;;
        *)
          if [ -z "$R_LIST" ]; then
            IFS=/
            # shellcheck disable=SC2086 # the words between slashes: the third one is the process
            set -- $p_line
            IFS=$NL
            case "$p_agents" in *" ${3:-none} "*) ;; *) continue ;; esac
          fi ;;
      esac
      IFS=$P_IFS
      p_p=${p_line##*" /proc/"}; p_exe=${p_p#*"/exe -> "}; p_p=${p_p%%/*}
      case "$p_p" in '' | *[!0-9]* | "$$") IFS=$NL; continue ;; esac
      p_real=$p_exe
      if [ -n "$R_LIST" ]; then named "$p_exe"; p_exe=$P_NAMED; fi
      p_new=1
      case "$p_agents" in *" $p_p "*) p_new=0 ;; esac
      case "$p_exe" in
        "$P_TARS/tarsnode/"*) [ $p_new = 0 ] || p_agents="$p_agents$p_p " ;;
        "$P_TARS/"*) p_others="$p_others $p_p" ;;
        */tars/tarsnode/bin/tarsnode) [ -d "$P_TARS/tarsnode" ] || p_elsewhere="$p_elsewhere $p_p" ;;
        *) [ $p_new = 0 ] || p_new=-1 ;;
      esac
      [ $p_new = -1 ] || p_exe_of="$p_exe_of$p_p $p_real$NL"
      [ $p_new != 1 ] || p_asked="$p_asked /proc/$p_p /proc/$p_p/root/ /proc/$p_p/exe"
      IFS=$NL
    done
    IFS=$P_IFS
    # The root, the owner and the program of all of them, asked at once.
    # shellcheck disable=SC2086 # files of fixed names
    stat_all / $p_asked
    set +f
    stat_of / || try_tools
    p_rootid=${T_KEY#*:}; p_rootid=${T_KEY%%:*}:${p_rootid%%:*}
    UIDS=$p_uids p_cmdlines='' p_exes=$NL
    for p_p in $p_agents; do
      ours "$p_p" || {
        if [ -n "$O_OTHER" ]; then say "impostor $p_p $O_OTHER"; else inside "$p_p"; fi
        continue
      }
      foreign "$p_p" && { inside "$p_p"; continue; }
      owner "$p_p"
      exe_of "$p_p"; named "$P_EXE"; p_exe=$P_NAMED
      D=-
      case "$p_exe" in
        "$P_TARS/tarsnode/data/"*) ;;
        "$P_TARS/tarsnode/"*) exe_digest "$p_p" ;;
        # The program itself may be a link: then it is the first word that names it.
        *)
          first_line "/proc/$p_p/cmdline" 2>/dev/null
          case "$LINE" in "$P_TARS/tarsnode/bin/tarsnode"*) exe_digest "$p_p" ;; esac ;;
      esac
      p_cmdlines="$p_cmdlines /proc/$p_p/cmdline"
      say "process $p_p ${p_who:-?} ${D:--} $p_exe"
      case "$p_exe" in *"$NL"*) ;; "$P_TARS/"*) p_exes="$p_exes$p_exe$NL" ;; esac
    done
    # shellcheck disable=SC2086 # files of fixed names
    [ -z "$p_cmdlines" ] || grep -aH '' $p_cmdlines 2>/dev/null
    # Where no tarsnode lies, one may run from another place: the path of the spec is wrong then.
    for p_p in $p_elsewhere; do
      foreign "$p_p" && continue
      exe_of "$p_p"
      [ -z "$P_EXE" ] || { say "elsewhere ${P_EXE%/tars/tarsnode/bin/tarsnode}"; break; }
    done
    # The framework's other components that run, from this root only.
    for p_p in $p_others; do
      ours "$p_p" || { [ -n "$O_OTHER" ] || inside "$p_p"; continue; }
      foreign "$p_p" && { inside "$p_p"; continue; }
      exe_of "$p_p"; named "$P_EXE"; p_exe=$P_NAMED
      case "$p_exe" in *"$NL"*) continue ;; "$P_TARS/"*) ;; *) continue ;; esac
      p_exes="$p_exes$p_exe$NL"
      p_c=${p_exe#"$P_TARS/"}; p_c=${p_c%%/*}
      case " $P_SERVERS " in *" $p_c "*) ;; *) continue ;; esac
      [ "${p_exe% (deleted)}" = "$P_TARS/$p_c/bin/$p_c" ] || continue
      owner "$p_p"
      exe_digest "$p_p"
      say "server-process $p_c $p_p ${p_who:-?} ${D:--} $p_exe"
    done
    say "exes $p_root"; say_lines "$p_exes"
    if [ $p_root = 1 ] || [ -d /proc/1 ]; then say "processes all"; else say "processes some"; fi
  else say "processes none"
  fi
  # The engine is asked where the spec has containers, and where the framework runs in some.
  if [ "$P_DOCKER" = 1 ] || [ -n "$P_INSIDE" ]; then docker_look; docker_processes; fi

  # Only the host of the platform pays for it.
  [ -z "$P_WEB" ] || console_look

  # ss asks the kernel for those that listen; its tables of text list every connection first.
  if has ss && p_out=$(ss -Hltn 2>/dev/null) && [ -n "$p_out" ]; then say "listen ss"; say_lines "$p_out"
  elif [ -r /proc/net/tcp ]; then say "listen proc"; say_lines "$(grep -h ' 0A 0' /proc/net/tcp /proc/net/tcp6 2>/dev/null)"
  else say "listen -"
  fi

  say "remembered $P_REMEMBERED"
  # Remember digests that were read again, where we may. A file touched within the last two seconds
  # could change again without its times changing, so it is not remembered.
  if [ -n "$P_FRESH" ] && [ $p_touched = 0 ] && [ -d "$P_BASE" ] && [ -w "$P_BASE" ]; then
    ( umask 077; put_file "$P_MEMO" "$P_KEEP" ) 2>/dev/null || :
  fi
  say "end $P_LINES"
}
probe </dev/null
exit 0
