# Changes one component on this host, from the old state to the new one or back, by itself.
# Lies in <our folder>/runs/<run>/<step>/change.sh beside the data it works on and runs detached from
# whoever started it. `change.sh act` begins; `change.sh recover` ends what a dead `act` left by putting
# the old state back; `change.sh accept` ends it with what is there, because a person has said so.
#
#   env       T_* variables, quoted          files    what to replace (see below)
#   stage/    payloads by sha256             before/  what was there, by line number of `files`
#   phase     how far it came                verdict  word, then one line for people
#   tree.sh   what is done below the framework's folder, behind what all scripts share
#
# A line of `files`: mode before after path, where before and after are sha256 or `absent` and the
# path is relative to the framework's folder. What must stay true: `phase` says `acting` and is on
# disk before the first change; every replacement is a rename within one folder; whoever restarts
# the component meanwhile starts either the whole old or the whole new binary; each part may be cut
# off anywhere and done again. No path of a binary stands on a command line (start.sh would kill
# us): all work is relative.
#
# Whose rights: what lies below the framework's folder may belong to a user who is less than we are, and
# who may put links or other files there at any moment. Root works there only where every folder on the
# way is its own; otherwise tree.sh does the work with that user's rights (see `tree`).
#
# Who ends it if it dies: from before `current` is there until after it is gone a guard line in the
# crontab calls `recover` each minute. A verdict comes before that tidying, so a verdict may be read
# a moment before the lock is free, and `recover` of a change with a verdict only tidies.

S_DIR=${0%/*}
TREE_SOURCED=1
. "$S_DIR/tree.sh"
set -u
. "$S_DIR/env"
B=${S_DIR%/runs/*}
NL='
'
# The install path: root makes it only where nobody else could be meant by it.
if [ ! -d "$T_TARS_PARENT" ]; then
  own_uid
  if [ "$S_UID" != 0 ] || trusted "$T_TARS_PARENT"; then mkdir -p "$T_TARS_PARENT" 2>/dev/null
  else AS_UID=$UNSAFE_UID AS_GID=65534; as_user 60 mkdir -p "$T_TARS_PARENT" 2>/dev/null
  fi
fi
# What runs is known by where it really lies.
cd -P "$T_TARS_PARENT" || exit 1
R_PARENT=$PWD

# The time is asked once for all lines of a second.
N_UP= N_TIME=
note() {
  read -r n_up n_rest </proc/uptime
  [ "${n_up%.*}" = "$N_UP" ] || { N_UP=${n_up%.*}; N_TIME=$(date -u +%H:%M:%S); }
  printf '%s %s\n' "$N_TIME" "$*"
}
nap() { sleep "${1:-0.2}" 2>/dev/null || sleep 1; }
clock() { # NOW: hundredths of a second since boot, which nobody can set
  read -r c_up c_rest </proc/uptime
  NOW=$((${c_up%.*} * 100 + 1${c_up#*.} - 100))
}
line_of() { # line_of FILE: its first line in LINE, nothing where there is none
  LINE=; [ -r "$1" ] || return 0
  read -r LINE <"$1" || :
}
put_word() { # put_word FILE TEXT: replaces a small file in one step, on disk afterwards
  for p_try in 1 2 3; do
    { printf '%s\n' "$2" >"$1.new"; } 2>/dev/null && flush "$1.new" && mv -f "$1.new" "$1" && flush "${1%/*}" && return 0
    nap
  done
  return 1
}
# ---- crontab -------------------------------------------------------------------------------
# The guard stands first: settings further down (SHELL=, PATH=) are not for it.
GUARD="* * * * * sh $B/guard.sh >/dev/null 2>&1 # tarsops-guard"
cron_own() { crontab "$@"; } # of whoever runs this, who gets the guard
cron_user() { if [ $SAME_CRON = 1 ]; then crontab "$@"; else crontab -u "$T_CRON_USER" "$@"; fi; }
# A crontab that cannot be read is not an empty one: it must never be written from nothing.
cron_get() { # cron_get own|user: C_TEXT; status 1 where there is none, 2 where that is not known
  # A user who is not there yet has none; asked about him, crontab(1) only fails.
  if [ "$1/$SAME_CRON" = user/0 ] && ! id -u "$T_CRON_USER" >/dev/null 2>&1; then C_TEXT=; return 1; fi
  C_TEXT=$(cron_"$1" -l 2>"$S_DIR/cron.err"; echo "x$?")
  c_status=${C_TEXT##*x}
  C_TEXT=${C_TEXT%x*}
  if [ "$c_status" = 0 ]; then
    # crontab(1) takes no last line without an end, as a file that was written by hand may have.
    case "$C_TEXT" in '' | *"$NL") ;; *) C_TEXT="$C_TEXT$NL" ;; esac
    # Debian's crontab -l prints a carriage return as two characters; written back, they would be part of a command.
    case "$C_TEXT" in *"\\r$NL"*) C_TEXT=$(printf '%s' "$C_TEXT" | sed "s/\\\\r\$/$(printf '\r')/"; echo x); C_TEXT=${C_TEXT%x} ;; esac
    return 0
  fi
  C_TEXT=$(cron_words)
  case "$C_TEXT" in
    *[Nn]'o crontab'* | *"can't open"*'No such file'*) C_TEXT=; return 1 ;;
    *) note "could not read the crontab: $C_TEXT"; C_TEXT=; return 2 ;;
  esac
}
# What crontab(1) complains of, in one line and without its advice to read the manual.
cron_words() { sed '/^See crontab(/d' "$S_DIR/cron.err" 2>/dev/null | tr '\n' ' '; }
cron_said() { WHY="$1: $(cron_words)"; }
# The text on standard output, without any guard or without ours.
cron_bare() { printf '%s' "$C_TEXT" | sed '/# tarsops-guard$/d'; }
# The guard of an earlier version lay below the install path.
cron_less() { printf '%s' "$C_TEXT" | sed "\\| $B/guard\\.sh .*# tarsops-guard\$|d; \\| $T_INSTALL/\.tarsops/guard\\.sh .*# tarsops-guard\$|d"; }
cron_keep() { # cron_keep FILE: the run user's crontab without guards; 1 for none, 2 for not known
  cron_get user || return $?
  cron_bare >"$1" || return 2
}
cron_sha() { # one that holds nothing but a guard counts as none
  cron_keep "$S_DIR/cron.now" && s_now=0 || s_now=$?
  case $s_now in
    0) if [ -s "$S_DIR/cron.now" ]; then sha "$S_DIR/cron.now"; else echo absent; fi ;;
    1) echo absent ;;
    *) echo unknown ;;
  esac
}
cron_write() { # cron_write FILE|absent: the run user's crontab, guards in it kept
  if [ $SAME_CRON = 1 ] && [ "$GUARDED" = 1 ]; then printf '%s\n' "$GUARD" >"$S_DIR/cron.put" || return 1
  else : >"$S_DIR/cron.put" || return 1
  fi
  if [ "$1" != absent ]; then cat "$1" >>"$S_DIR/cron.put" || return 1
  elif [ ! -s "$S_DIR/cron.put" ]; then
    cron_get user && w_there=0 || w_there=$?
    case $w_there in 0) cron_user -r 2>"$S_DIR/cron.err"; return ;; 1) return 0 ;; *) return 1 ;; esac
  fi
  cron_user "$S_DIR/cron.put" 2>"$S_DIR/cron.err"
}
guard_on() { # while a change is under way, cron brings `recover` should this process die
  has crontab || return 0
  cron_get own; [ $? != 2 ] || return 1
  { printf '%s\n' "$GUARD" && cron_less; } >"$S_DIR/cron.put" && crontab "$S_DIR/cron.put" 2>"$S_DIR/cron.err" && GUARDED=1
}
guard_off() {
  has crontab || return 0
  GUARDED=0
  cron_get own && g_there=0 || g_there=$?
  [ $g_there != 2 ] || return 1
  case "$C_TEXT" in *" $B/guard.sh "* | *" $T_INSTALL/.tarsops/guard.sh "*) ;; *) return 0 ;; esac
  cron_less >"$S_DIR/cron.put" || return 1
  # An empty crontab, rather than none, where there was one.
  if [ -s "$S_DIR/cron.put" ] || { [ "$K_CRON" = 1 ] && [ "$SAME_CRON/$OUTCOME/$T_CRON_AFTER" != 1/new/absent ]; }
  then crontab "$S_DIR/cron.put"
  else crontab -r
  fi
}

# ---- processes -----------------------------------------------------------------------------
same_root() { # whether a process lives in our file system: containers on this host are not ours
  r=$(stat -L -c '%d:%i' "/proc/$1/root/" 2>/dev/null)
  [ -z "$r" ] || [ "$r" = "$ROOT_ID" ]
}
born() { # pid and time of birth, which no later process has
  b_all=; { read -r b_all <"/proc/$1/stat"; } 2>/dev/null || return 0
  set -- "$1" ${b_all##*) }
  [ $# -lt 21 ] || echo "$1:${21}"
}
# It is looked many times while a process ends and another one starts, and a look must be quicker than
# a monitor: each program that is started for it counts.
pids() { # PIDS: processes of the component; of the last one P_ARGS its words, P_UID its user
  PIDS= P_ARGS= P_UID= p_seen=' '
  p_lines=$(
    ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F -e " ${R_BIN%/*}/"
    # Only root sees what others run.
    [ $ROOT = 1 ] || printf '%s\n' "$T_BIN" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null
  )
  # A line is one word.
  p_ifs=$IFS; set -f; IFS=$NL; set -- $p_lines; IFS=$p_ifs; set +f
  for p_line; do
    # A line of ls, `… /proc/PID/exe -> FILE`, or the name of a file below /proc.
    case "$p_line" in */proc/[0-9]*/cmdline | *" /proc/"[0-9]*"/exe -> "*) ;; *) continue ;; esac
    p=${p_line#*/proc/}; p=${p%%/*}
    case "$p_seen" in *" $p "*) continue ;; esac
    p_seen="$p_seen$p "
    [ "$p" != "$$" ] && ours "$p" || continue
    p_uid=$O_UID
    p_args=$({ tr '\0' '\n' <"/proc/$p/cmdline"; } 2>/dev/null)
    # `--monitor` and the version flags are questions, not the service.
    case "$p_args$NL" in *"$NL"--monitor"$NL"* | *"$NL"--version"$NL"* | *"$NL"--nodeversion"$NL"* | *"$NL"--tarsversion"$NL"*) continue ;; esac
    # A path may have line ends in it, so a line proves nothing: the kernel is asked about this very process.
    p_exe=$(readlink "/proc/$p/exe" 2>/dev/null)
    case "${p_exe% (deleted)}|$ROOT/$p_uid|${p_args%%"$NL"*}" in
      # Without root's rights root's word is taken for what root runs.
      "$R_BIN|"* | "|0/0|$T_BIN") same_root "$p" && PIDS="$PIDS $p" P_ARGS=$p_args P_UID=$p_uid ;;
    esac
  done
}
# A signal is sent with the rights of the process's own user: by then the number may be another's.
signal() { # signal SIGNAL PID…
  k_name=$1; shift
  for k_p in "$@"; do
    ours "$k_p" || continue
    # Another installation of root must not be stopped by a link to it.
    [ "$O_UID" != 0 ] || [ -z "$R_OPEN" ] || continue
    if [ "$ROOT" = 1 ] && [ "$O_UID" = "$AS_UID" ] && [ "$O_UID" != 0 ]; then as_user 20 sh -c "kill -$k_name $k_p" 2>/dev/null
    elif [ "$ROOT" = 1 ] && [ "$O_UID" != 0 ]; then
      ( use "$O_UID" "$O_GID"; as_user 20 sh -c "kill -$k_name $k_p" 2>/dev/null )
    else kill "-$k_name" "$k_p" 2>/dev/null
    fi
  done
}
# Servers that it runs, told by the data folder on their command lines.
server_pids() {
  PIDS=
  for p in $(printf '%s\n' "$T_TARS/$T_COMP/data/" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null | sed 's|^/proc/||; s|/.*||'); do
    [ "$p" != "$$" ] && ours "$p" && same_root "$p" && PIDS="$PIDS $p"
  done
}
stop_all() { stop pids; }
stop() { # stop pids|server_pids: asks each once to end, then ends it
  clock; w_end=$((NOW + T_STOP_TICKS * 20)) w_told= w_nap=0.05
  while "$1"; [ -n "$PIDS" ]; do
    clock
    if [ $NOW -gt $((w_end + 1000)) ]; then return 1
    elif [ $NOW -gt $w_end ]; then signal KILL $PIDS
    elif [ "$PIDS" != "$w_told" ]; then signal TERM $PIDS; w_told=$PIDS
    fi
    nap $w_nap; w_nap=0.1
  done
  return 0
}
# Stops it and does something to its configuration while it is down. A monitor may start it in
# between, with the old configuration, which it would write back: then once more.
halt_and() {
  for h_try in 1 2 3; do
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    "$@" || return 1
    pids; [ -n "$PIDS" ] || return 0
  done
  stop_all || { WHY="$T_COMP does not stop"; return 1; }
}
# As whom start_it starts it, B_UID and B_USER, and whether with the environment that it had before.
start_new() { B_UID=$T_UID B_USER=$T_USER B_OLD=0; errors_of "$B_UID"; }
errors_of() { # where one that UID starts says what is wrong: a file that this user can write
  START_ERR=$S_DIR/start.err
  [ $ROOT = 0 ] || [ "$1" = 0 ] || START_ERR=tars/$T_COMP/.tarsops-start.err
}
# What ran before the change is started as it ran: by its own user, from files of their own owners.
start_old() {
  start_new; B_OLD=1
  [ -n "$K_UID" ] && [ "$K_UID" != "$T_UID" ] || return 0
  B_UID=$K_UID
  B_USER=$(id -un "$K_UID" 2>/dev/null) || B_USER=$(sed -n "s/^\([^:]*\):[^:]*:$K_UID:.*/\1/p" /etc/passwd 2>/dev/null | head -n 1)
  [ -n "$B_USER" ] || { bad "$T_COMP ran as uid $K_UID, and there is no user of that number any more"; return 1; }
  errors_of "$B_UID"
  give_back "$S_DIR/before" || { bad "could not give the folder back to its owners${WHY:+: $WHY}"; return 1; }
  U_GIVEN=1
}
# What was the run user's for a while is not run by root, unless it is root's again.
all_of_root() {
  [ -z "$(find "tars/$T_COMP/bin" "tars/$T_COMP/util" "tars/$T_COMP/conf" -xdev ! -user 0 2>/dev/null | head -c 1)" ] ||
    { WHY="$T_COMP ran as root, and files of it have been changed by another user meanwhile: give them to root once you have seen what they are"; return 1; }
}
cannot_start_as_root() { WHY="$T_COMP runs as root, and $(id -un "$C_UID" 2>/dev/null || echo "uid $C_UID") can change it: give its folder to root, or let it run as that user"; }
can_start() { # whether its start script is there, or comes with this change
  [ "$T_FOLDER" = keep ] && [ ! -f "tars/$T_COMP/util/start.sh" ] || return 0
  # What was published to a plain node has a program and nothing else; its tarsnode starts it.
  [ "$T_COMP" = tarsnode ] || [ -e "tars/$T_COMP/util" ] || return 0
  while read -r f_mode f_before f_after f_path; do
    case "$f_path/$f_after" in */util/start.sh/absent) ;; */util/start.sh/*) return 0 ;; esac
  done <"$S_DIR/files"
  return 1
}
start_it() {
  if [ $ROOT = 1 ] && [ "$B_UID" = 0 ] && [ -n "$C_UID" ]; then
    cannot_start_as_root; return 1
  fi
  if [ $ROOT = 1 ] && [ "$B_UID" = 0 ] && [ "$B_OLD$T_OWNERS_FROM" != 0 ]; then all_of_root || return 1; fi
  # What was published to a plain node has a program and nothing else; its tarsnode starts it.
  if [ "$T_COMP" != tarsnode ] && [ ! -e "tars/$T_COMP/util" ]; then note "its tarsnode starts $T_COMP"; return 0; fi
  [ -f "tars/$T_COMP/util/start.sh" ] || { WHY="there is no util/start.sh to start $T_COMP with"; return 1; }
  note "start $T_COMP as $B_USER"
  # In the background, as a start script that never returns must not keep us; it inherits neither
  # the lock nor our locale, and no signal that we ignore.
  b_env=/dev/null; [ "$B_OLD" = 0 ] || [ ! -s "$S_DIR/before/environ" ] || ! has xargs || b_env=$S_DIR/before/environ
  # Where the run user is less than we are, it is the run user who opens the file for the errors: what
  # is started keeps that open.
  ( unset LC_ALL
    set -- sh "$T_TARS/$T_COMP/util/start.sh"
    # xargs hands the environment over word by word, whatever is in it.
    [ "$b_env" = /dev/null ] || set -- xargs -0 sh -c 'exec env -i "$@" sh "$0"' "$2"
    if [ $ROOT = 0 ] || [ "$B_UID" = 0 ]; then exec "$@" 2>"$S_DIR/start.err"; fi
    # A shell ends where exec cannot open a file, so that is tried before.
    set -- sh -c '{ true >>"$0"; } 2>/dev/null && exec 2>"$0" || exec 2>/dev/null; exec "$@"' "$START_ERR" "$@"
    # By a try: a program may be there and not work.
    if runuser -u "$B_USER" -- true </dev/null 2>/dev/null; then exec runuser -u "$B_USER" -- "$@"
    else exec su -s /bin/sh -c 'exec "$@"' -- "$B_USER" sh "$@"
    fi ) <"$b_env" >/dev/null 2>/dev/null 9>&- &
  s_pid=$!
  clock; s_end=$((NOW + 2000))
  while { read -r s_line <"/proc/$s_pid/stat"; } 2>/dev/null; do
    case "${s_line##*) }" in Z*) break ;; esac
    clock
    [ $NOW -lt $s_end ] || { note "start.sh does not return; going on without it"; return 0; }
    nap 0.05
  done
  wait "$s_pid"
}
# Whether L_IP (`-` for any) and L_PORT listen, in the kernel's spelling; without a port it is not asked.
listens() {
  [ "$L_PORT" != - ] || return 0
  l_hex=$(printf '%04X' "$L_PORT") l_any=
  case "$L_IP" in
    *[!0-9.]* | -) l_any='[0-9A-F]*' ;;
    *) # Native byte order of an IPv4 address; `0` is any address.
      l_ifs=$IFS; IFS=.; set -- $L_IP; IFS=$l_ifs
      l_any=$(printf '(0{8}|0{32}|[0-9A-F]*(%02X%02X%02X%02X|%02X%02X%02X%02X))' "$4" "$3" "$2" "$1" "$1" "$2" "$3" "$4") ;;
  esac
  grep -qsE ": $l_any:$l_hex [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6
}
# R_BIN is where the program really lies. R_OPEN says who but root could lead us elsewhere.
resolve() {
  r_bin=tars/$T_COMP/bin/$T_COMP
  R_BIN=$R_PARENT/$r_bin R_OPEN=
  if [ -h tars ] || [ -h "tars/$T_COMP" ] || [ -h "tars/$T_COMP/bin" ]; then
    # What is not there yet will lie below what is.
    for r_dir in "tars/$T_COMP/bin" "tars/$T_COMP" tars; do
      [ -d "$r_dir" ] || continue
      r_at=$(cd -P "$r_dir" && pwd -P) && R_BIN=$r_at${r_bin#"$r_dir"}
      break
    done
  elif [ "$R_PARENT" = "$T_TARS_PARENT" ]; then return 0
  fi
  [ $ROOT = 0 ] || trusted "$T_TARS_PARENT/tars/$T_COMP/bin" || R_OPEN=$UNSAFE
}
# Healthy: one process, of this very file, with this nodeid, of this user, and its port listens.
unhealthy() { # unhealthy NODEID|any: WHY says what is wrong; fails, with H_PID, if nothing is
  pids; H_PID=${PIDS# }
  case "$H_PID" in
    '') WHY="$T_COMP is not running"; return 0 ;;
    # One that cannot listen may well be started twice, by us and by tarsnode: both are told.
    *' '*) WHY="$T_COMP runs more than once: pids $H_PID"
      listens || WHY="$WHY, and does not listen on its port"
      return 0 ;;
  esac
  h_a=$(stat -L -c '%d:%i' "/proc/$H_PID/exe" "tars/$T_COMP/bin/$T_COMP" 2>/dev/null)
  case "$h_a" in *"$NL"*) ;; *) h_a="one$NL""is gone" ;; esac
  [ "${h_a%%"$NL"*}" = "${h_a#*"$NL"}" ] || { WHY="the running $T_COMP (pid $H_PID) is not the installed file"; return 0; }
  if [ "$1" != any ]; then
    h_n=
    case "$NL$P_ARGS" in *"$NL--nodeid="*) h_n=${P_ARGS##*"$NL--nodeid="}; h_n=${h_n%%"$NL"*} ;; esac
    [ "$h_n" = "$1" ] || { WHY="$T_COMP runs with nodeid ${h_n:-none}, not $1"; return 0; }
    [ "$P_UID" = "$T_UID" ] || { WHY="$T_COMP runs as $(id -un "$P_UID" 2>/dev/null || echo "uid $P_UID"), not $T_USER"; return 0; }
  fi
  listens || { WHY="$T_COMP (pid $H_PID) does not listen on its port"; return 0; }
  return 1
}
# Waits until it is healthy and stays so, with one pid, for `settle` seconds.
healthy() { # healthy NODEID|any SETTLE DEADLINE
  clock; h_end=$((NOW + $3 * 100)) h_since= h_last=
  while :; do
    if unhealthy "$1"; then h_since= h_nap=0.2; clock
    else
      clock
      if [ -z "$h_since" ] || [ "$h_last" != "$H_PID" ]; then h_since=$NOW h_last=$H_PID; fi
      h_left=$((h_since + $2 * 100 - NOW))
      [ $h_left -gt 0 ] || return 0
      WHY="$T_COMP (pid $H_PID) has not held for $2 seconds"
      # A look costs a dozen processes, and it is only looked at whether it goes on.
      if [ $h_left -gt 60 ]; then h_nap=0.5; else h_nap=0.1; fi
    fi
    if [ "$NOW" -ge $h_end ]; then
      note "not healthy: $WHY"
      start_errors 3
      return 1
    fi
    nap $h_nap
  done
}

# ---- files ---------------------------------------------------------------------------------
# Whose rights are enough in FOLDERS, the outermost first (data and logs do not count: a framework that runs as root lets everybody write
# there, and only the removal of a whole folder touches them): P_* in the framework's folder itself, C_* below the component's folder; empty
# where they are ours. UIDS are the users whose processes count.
rights() {
  resolve
  look_up "$T_USER"
  T_UID=$ID_UID T_GID=$ID_GID
  FOLDERS="tars tars/$T_COMP tars/$T_COMP/bin tars/$T_COMP/conf tars/$T_COMP/util"
  tree_rights "$T_TARS_PARENT" "$T_USER" $FOLDERS
  C_UID=$AS_UID C_GID=$AS_GID P_UID_=$TOP_UID P_GID=$TOP_GID RIGHTS_WHY=${AS_WHY:-$TOP_WHY}
  [ -z "$C_UID" ] || RIGHTS_WHY=
  # Once, here, as what a part of a pipeline finds out is lost with it.
  [ -z "$C_UID" ] || { AS_HOW=; find_rights; }
  UIDS="0 $S_UID $T_UID $TOP_OWNER $r_owner $K_UID"
  # Files that root writes where nobody else can belong to the run user.
  OWNER=; [ $ROOT = 0 ] || [ -n "$C_UID" ] || [ -z "$T_UID" ] || OWNER=$T_USER:
  errors_of "$T_UID"
}
# Programs that run as root and clear their umask, as those of the framework do, make folders that everybody
# can write. Root closes its own, from the outside in, before it works there.
close_folders() {
  [ $ROOT = 1 ] && [ -n "$RIGHTS_WHY" ] && [ -z "$C_UID" ] && trusted "$T_TARS_PARENT" || return 0
  note "take the right to write there from others: $RIGHTS_WHY"
  for c_dir in $FOLDERS; do
    [ ! -d "$c_dir" ] || [ -h "$c_dir" ] || [ ! -O "$c_dir" ] || chmod go-w "$c_dir" || return 0
  done
  rights
}
# Once owners are being changed, folders may be root's for a while, and what lies in them is still the run
# user's: root never works there with its own rights.
rights_of_owned() {
  rights
  [ $ROOT = 1 ] && [ -s "$S_DIR/before/folders" ] && [ -z "$C_UID" ] && [ -n "$T_UID" ] && [ "$T_UID" != 0 ] || return 0
  C_UID=$T_UID C_GID=$T_GID OWNER=
  use "$C_UID" "$C_GID"; [ -n "$AS_HOW" ] || find_rights
}
use() { [ "$AS_UID" = "$1" ] || AS_HOW=; AS_UID=$1 AS_GID=$2; }
tree() { # tree OPERATION WORD…, of tree.sh: below the component's folder
  if [ -z "$C_UID" ]; then tree_"$@"; return; fi
  use "$C_UID" "$C_GID"
  # What is one program needs no shell around it.
  case "$1" in
    save) as_user 600 cat "$2" </dev/null 3<&- ;;
    put | restore) as_user 600 sh -s "$@" <"$S_DIR/tree.sh" ;;
    *) as_user 600 sh -s "$@" <"$S_DIR/tree.sh" 3<&- ;;
  esac
}
beside() { # beside OPERATION WORD…: in the framework's folder
  if [ -z "$P_UID_" ]; then tree_"$@"; else use "$P_UID_" "$P_GID"; as_user 600 sh -s "$@" <"$S_DIR/tree.sh"; fi
}
start_errors() { if [ "$START_ERR" = "$S_DIR/start.err" ]; then tail -n "$1" "$START_ERR" 2>/dev/null; else tree tail "$1" "$START_ERR" | head -c 2000; fi; }
logs() { # the ends of the logs; root reads them as nobody, as anybody may have put links there
  if [ $ROOT = 1 ] && [ -z "$C_UID" ]; then ( use 65534 65534; as_user 60 sh -s logs tars/app_log <"$S_DIR/tree.sh" )
  else tree logs tars/app_log
  fi
}
# A folder whose content another user can change is emptied with that user's rights; root takes only the
# empty folder out of its own.
foreign() { [ -n "$(find "$1" -xdev -type d ! -user 0 2>&1 | head -c 1)" ]; }
wipe() { # wipe FOLDER
  [ -e "$1" ] || [ -h "$1" ] || return 0
  if [ $ROOT = 1 ] && [ -z "$C_UID" ] && foreign "$1"; then
    # Root removes below its own folders only: others empty theirs first.
    if [ -n "$T_UID" ] && [ "$T_UID" != 0 ]; then
      ( use "$T_UID" "$T_GID"; as_user 600 sh -s wipe "$1" <"$S_DIR/tree.sh" 2>/dev/null )
      find "$1" -xdev -depth -type d ! -user 0 -exec rmdir {} + 2>/dev/null
    fi
    ! foreign "$1" || { note "left $1: others than root have folders in it"; return 1; }
  fi
  tree wipe "$1" || return 1
  [ ! -e "$1" ] || { [ -z "$P_UID_" ] && rmdir "$1"; }
}

# ---- owners --------------------------------------------------------------------------------
# Root changes owners only below folders that are all its own at that moment. So it takes the folders
# first, from the outside in, then changes owners, and then gives the folders to whom they are for, from
# the inside out. No name is written down: what is to be known again is known by its inode.
tops() { # TOPS: the folders that are meant, as words
  TOPS="tars/$T_COMP"; [ ! -d tars/app_log ] || [ -h tars/app_log ] || TOPS="$TOPS tars/app_log"
}
freeze() { # freeze RECORD
  # An install path that is not root's is taken as well, if nobody can put another in its place.
  F_PARENT=
  if ! trusted "$T_TARS_PARENT"; then
    WHY="$UNSAFE: owners below it cannot be changed safely"
    trusted "${T_TARS_PARENT%/*}" && [ ! -h "$T_TARS_PARENT" ] || return 1
    F_PARENT=. WHY=
  fi
  F_RECORD=$1; export F_RECORD
  [ -e "$1" ] || : >"$1" || return 1
  rm -f "$1.failed"
  tops
  for f_top in $F_PARENT tars $TOPS; do
    [ ! -h "$f_top" ] || { WHY="$f_top is a symbolic link"; return 1; }
    case "$f_top" in . | tars) f_deep="-maxdepth 0" ;; *) f_deep= ;; esac
    find "$f_top" $f_deep -xdev -type d -exec sh -c '
      for d; do
        s=$(stat -c "%i %u:%g %a" "$d") && { grep -q "^${s%% *} " "$F_RECORD" || printf "%s\n" "$s" >>"$F_RECORD"; } && chown -h 0 "$d" || : >"$F_RECORD.failed"
        case "${s##* }" in *[2367]? | *[2367]) chmod go-w "$d" || : >"$F_RECORD.failed" ;; esac
      done' sh {} \;
    # What lies in a folder that was not taken is not touched.
    [ ! -e "$1.failed" ] || break
  done
  flush "$1"
  [ ! -e "$1.failed" ] || { WHY="could not take the folders of $T_COMP for the change of owners"; return 1; }
}
thaw() { # thaw RECORD [OWNER]: to those who had them, or to OWNER; what was made meanwhile to the run user
  F_RECORD=$1 F_OWNER=${2:-} F_NEW=$T_USER:; export F_RECORD F_OWNER F_NEW
  rm -f "$1.failed"
  tops
  for f_top in $TOPS tars $F_PARENT; do
    case "$f_top" in . | tars) f_deep="-maxdepth 0" ;; *) f_deep= ;; esac
    [ "$f_top" != . ] || F_OWNER=
    find "$f_top" $f_deep -xdev -depth -type d -exec sh -c '
      for d; do
        i=$(stat -c "%i %a" "$d") || continue
        s=$(grep "^${i% *} " "$F_RECORD") || s=
        o=${s#* }; o=${o% *}; [ -n "$s" ] || o=$F_NEW
        [ -z "$F_OWNER" ] || o=$F_OWNER
        [ -z "$s" ] || [ "${s##* }" = "${i#* }" ] || chmod "${s##* }" "$d" || : >"$F_RECORD.failed"
        chown -h "$o" "$d" || : >"$F_RECORD.failed"
      done' sh {} \;
  done
  [ ! -e "$1.failed" ] || { WHY="could not give the folders of $T_COMP back"; return 1; }
}
record_owners() { # what is in no folder's record: other files, by inode, and the files of this change by name
  o_uid=$T_UID o_gid=$T_GID
  find $TOPS -xdev ! -type d \( ! -user "$o_uid" -o ! -group "$o_gid" \) -exec stat -c '%i %u:%g' {} + >"$S_DIR/before/inodes" || return 1
  : >"$S_DIR/before/named" || return 1
  while read -r f_mode f_before f_after f_path; do
    [ "$f_before" != absent ] || continue
    # find(1) goes through no link, as a folder on the way may be one.
    o_who=$(find "tars/$T_COMP" -xdev -path "tars/$f_path" -type f -exec stat -c '%u:%g' {} +) || return 1
    [ -z "$o_who" ] || printf '%s %s\n' "$o_who" "$f_path" >>"$S_DIR/before/named" || return 1
  done <"$S_DIR/files"
  : >"$S_DIR/before/roots" || return 1
  # What root's files held, so that they can be root's again. Folders are root's by now, and links that
  # lie in them were put there before.
  for o_file in "tars/$T_COMP"/bin/* "tars/$T_COMP"/util/* "tars/$T_COMP"/conf/*; do
    [ "$o_uid" != 0 ] && [ ! -h "${o_file%/*}" ] && [ -f "$o_file" ] && [ ! -h "$o_file" ] && [ -O "$o_file" ] || continue
    o_who=$(stat -c '%h %i %a %u:%g' "$o_file") || return 1
    case "$o_who" in
      # A file with another name elsewhere is more than a file of the component.
      '1 '*) printf '%s %s\n' "${o_who#1 }" "$(sha "$o_file")" >>"$S_DIR/before/roots" || return 1 ;;
    esac
  done
  flush "$S_DIR/before/inodes" "$S_DIR/before/named" "$S_DIR/before/roots"
}
# A file becomes root's again only as a copy that nobody has open, and with what root had in it: the run
# user had it for a while. The folders are root's when this is done.
root_again() { # root_again OWNER MODE SHA FILE
  g_way=$4
  while [ "$g_way" != tars ]; do [ ! -h "$g_way" ] || return 0; g_way=${g_way%/*}; done
  [ -f "$4" ] && [ ! -O "$4" ] || return 0
  rm -f "$4.tarsops-new"
  ( set -C; umask 077; head -c $SIZE_LIMIT "$4" >"$4.tarsops-new" ) && [ "$(sha "$4.tarsops-new")" = "$3" ] &&
    chown "$1" "$4.tarsops-new" && chmod "$(printf '%03o' $((0$2 & 0755)))" "$4.tarsops-new" && mv -f "$4.tarsops-new" "$4" && return 0
  rm -f "$4.tarsops-new"
  note "left to $T_USER, as it is not what root had there: $4"
}
roots_again() { # roots_again FOLDER: of the records in it, and of the change that they are of
  [ -s "$1/roots" ] || return 0
  for g_file in "tars/$T_COMP"/bin/* "tars/$T_COMP"/util/* "tars/$T_COMP"/conf/*; do
    [ ! -h "${g_file%/*}" ] && [ -f "$g_file" ] && [ ! -h "$g_file" ] && [ ! -O "$g_file" ] || continue
    g_inode=$(stat -c %i "$g_file") || continue
    g_line=$(grep "^$g_inode " "$1/roots") || continue
    # Inode, mode, owner, digest.
    set -- "$1" $g_line
    [ $# != 5 ] || root_again "$4" "$3" "$5" "$g_file"
    set -- "$1"
  done
  g_n=0
  while read -r g_mode g_before g_after g_path <&3; do
    g_n=$((g_n + 1))
    g_who=$(grep "^0:[0-9]* $g_path\$" "$1/named" 2>/dev/null) || continue
    line_of "$1/$g_n.meta"
    root_again "${g_who%% *}" "${LINE% *}" "$g_before" "tars/$g_path"
  done 3<"${1%/before}/files"
}
own_all() { # everything of the component belongs to the run user
  [ $ROOT = 1 ] && [ -d "tars/$T_COMP" ] || return 0
  # What was made with the run user's rights is the run user's.
  if [ "$T_FOLDER$T_BACK_FROM/$K_LOG" = create/0 ] && [ "$C_UID" = "$T_UID" ]; then : >"$S_DIR/before/folders"; return; fi
  tops
  if [ -z "$( { find tars/ -maxdepth 0 ! -user "$T_UID"; for o_top in $TOPS; do find "$o_top/" -xdev \( ! -user "$T_UID" -o ! -group "$T_GID" \); done; } 2>&1 | head -c 1)" ]; then
    : >"$S_DIR/before/folders"; return
  fi
  freeze "$S_DIR/before/folders" && record_owners || return 1
  # A file with another name elsewhere is more than a file of the component.
  find $TOPS -xdev ! -type d \( ! -user "$o_uid" -o ! -group "$o_gid" \) \( -type l -o -links 1 \) -exec chown -h "$T_USER:" {} + || return 1
  thaw "$S_DIR/before/folders" "$T_USER:" || return 1
  rights
}
give_back() { # give_back FOLDER: owners as its records say; what is gone is nobody's loss
  [ $ROOT = 1 ] && [ -s "$1/folders" ] && [ -d "tars/$T_COMP" ] || return 0
  g_bad=0 g_from=$1
  freeze "$S_DIR/before/folders" || return 1
  roots_again "$g_from"
  [ ! -f "$g_from/named" ] || while read -r g_who g_path; do
    # What the run user could write meanwhile does not become root's.
    case "$g_who" in 0:*) continue ;; esac
    find "tars/$T_COMP" -xdev -path "tars/$g_path" -type f -links 1 -exec chown -h "$g_who" {} + || g_bad=1
  done <"$g_from/named"
  for g_who in $(cut -d' ' -f2 "$g_from/inodes" 2>/dev/null | sort -u); do
    case "$g_who" in 0:*) continue ;; esac
    set --
    for g_inode in $(grep " $g_who\$" "$g_from/inodes" | cut -d' ' -f1); do
      set -- "$@" ${1:+-o} -inum "$g_inode"
      [ $# -lt 600 ] || { find $TOPS -xdev ! -type d \( -type l -o -links 1 \) \( "$@" \) -exec chown -h "$g_who" {} + || g_bad=1; set --; }
    done
    [ $# = 0 ] || find $TOPS -xdev ! -type d \( -type l -o -links 1 \) \( "$@" \) -exec chown -h "$g_who" {} + || g_bad=1
  done
  thaw "$g_from/folders" || g_bad=1
  rights
  return $g_bad
}

# Every fact that the plan rested upon: 1 if one has moved, 2 if it cannot be done here at all.
check_unmoved() {
  if [ "$T_MACHINE_ID" != - ]; then
    line_of "${TARSOPS_MACHINE_ID:-/etc/machine-id}"
    [ "$LINE" = "$T_MACHINE_ID" ] || { WHY="this is another machine than the one that was looked at"; return 1; }
  fi
  # What is about to be given to the run user may be written by others until then.
  [ -z "$RIGHTS_WHY" ] || [ "$T_OWN" = 1 ] || { WHY="$RIGHTS_WHY, so root does not work there: take that right away (chmod go-w), or have the folder belong to $T_USER"; return 2; }
  if [ "$T_FOLDER" = remove ] && [ -h "tars/$T_COMP" ]; then
    WHY="$T_TARS_PARENT/tars/$T_COMP is a symbolic link: put the folder in its place, then it can be removed"; return 2
  fi
  if [ -n "$R_OPEN" ]; then
    pids
    for u_p in $PIDS; do
      ours "$u_p" && [ "$O_UID" = 0 ] || continue
      WHY="$T_COMP runs as root, through links that others can change ($R_OPEN): stop it by hand (pid $u_p), or have root own those folders"; return 2
    done
  fi
  look || { WHY="could not look at the files of $T_COMP"; return 2; }
  # Nothing is stopped that could not be started again.
  if [ "$T_RESTART/$T_HEALTH" = 1/1 ]; then
    [ -n "$T_UID" ] || [ "$T_MAKE_USER" = 1 ] || { WHY="the user $T_USER does not exist here: make it, or name the user that $T_COMP runs as (run_user)"; return 2; }
    if [ $ROOT = 1 ] && [ "$T_UID" = 0 ]; then
      trusted "$T_TARS_PARENT" || { WHY="$UNSAFE, so root does not run what lies there: give the folders on the way to root, or have $T_COMP run as their owner"; return 2; }
      [ -z "$C_UID" ] || [ "$T_OWN$T_OWNERS_FROM" != 0 ] || { cannot_start_as_root; return 2; }
    elif [ $ROOT = 1 ]; then
      has runuser || has su || { WHY="there is no runuser and no su here to start $T_COMP as $T_USER with (package util-linux)"; return 2; }
    fi
    can_start || { WHY="there is no util/start.sh to start $T_COMP with"; return 2; }
  fi
  n=0
  while read -r f_mode f_before f_after f_path <&3 && read -r f_now f_can f_owner <&4; do
    case "$f_now" in
      link) WHY="$f_path is a symbolic link, which is not replaced"; return 2 ;;
      unreadable) WHY="$f_path cannot be read by $T_USER, whose folder it lies in: give it to $T_USER"; return 2 ;;
      too-large) WHY="$f_path is larger than any program of the framework"; return 2 ;;
    esac
    [ "$f_now" = "$f_before" ] || { WHY="$f_path changed since it was looked at"; return 1; }
    [ "$f_can" = 1 ] || [ "$T_OWN" = 1 ] || [ "$T_FOLDER" != keep ] || { WHY="the folder of $f_path cannot be written by $T_USER, who owns what is above it: give it to $T_USER"; return 2; }
    [ "$f_after" = absent ] || [ "$f_after" = "$f_before" ] || staged "$f_after" "content of $f_path" || return 1
    n=$((n + 1))
  done 3<"$S_DIR/files" 4<"$S_DIR/now"
  [ $n = $LOOKED ] || { WHY="could not look at all files of $T_COMP"; return 2; }
  if [ "$T_CRON_AFTER" != keep ]; then
    f_now=$(cron_sha)
    [ "$f_now" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_CRON_USER changed since it was looked at"; return 1; }
    [ "$T_CRON_AFTER" = absent ] || staged "$T_CRON_AFTER" crontab || return 1
  fi
  if [ "$T_FOLDER" != keep ]; then
    if [ -e "tars/$T_COMP" ] || [ -h "tars/$T_COMP" ]; then f_now=present; else f_now=absent; fi
    [ "$T_FOLDER/$f_now" != create/present ] || ! beside hollow "tars/$T_COMP" || f_now=absent
    [ "$T_FOLDER/$f_now" = remove/present ] || [ "$T_FOLDER/$f_now" = create/absent ] ||
      { WHY="the folder of $T_COMP is $f_now"; return 1; }
    if [ -n "$T_BACK_FROM" ] && { [ ! -d "$T_BACK_FROM" ] || [ -h "$T_BACK_FROM" ]; }; then
      WHY="the folder that was saved is not at $T_TARS_PARENT/$T_BACK_FROM"; return 1
    fi
  fi
  [ -z "$T_OWNERS_FROM" ] || [ -r "$B/runs/$T_OWNERS_FROM/before/folders" ] || { WHY="the list of owners is not there any more"; return 1; }
}
look() { # the files of this change as they are now, in `now`
  set --
  while read -r f_mode f_before f_after f_path; do set -- "$@" "tars/$f_path"; done <"$S_DIR/files"
  LOOKED=$#
  [ $# -gt 0 ] || { : >"$S_DIR/now"; return; }
  tree look "$@" | head -c 65536 >"$S_DIR/now"
}
staged() { # staged SHA WHAT: a damaged one goes, so that the next try sends it again
  [ "$(sha "$B/stage/$1" 2>/dev/null)" != "$1" ] || return 0
  rm -f "$B/stage/$1"
  WHY="the staged $2 is missing or damaged"
  return 1
}
keep_before() {
  # What an earlier, cut-off start of this change left is not added to.
  rm -rf "$S_DIR/before" && mkdir "$S_DIR/before" || return 1
  n=0
  while read -r f_mode f_before f_after f_path <&3 && read -r f_now f_can f_was f_owner <&4; do
    n=$((n + 1))
    [ "$f_before" != absent ] || continue
    # No bit that would lend rights is ever restored.
    case "$f_was" in *[!0-7]* | '') return 1 ;; [0-7] | [0-7][0-7] | [0-7][0-7][0-7]) ;; *) f_was=${f_was#"${f_was%???}"} ;; esac
    case "$f_owner" in *[!0-9:]* | :* | *: | *:*:*) return 1 ;; *:*) ;; *) return 1 ;; esac
    printf '%s %s\n' "$f_was" "$f_owner" >"$S_DIR/before/$n.meta" || return 1
    [ "$f_before" != "$f_after" ] || continue
    tree save "tars/$f_path" | head -c $SIZE_LIMIT >"$S_DIR/before/$n" || return 1
    [ "$(sha "$S_DIR/before/$n")" = "$f_before" ] || return 1
  done 3<"$S_DIR/files" 4<"$S_DIR/now" || return 1
  [ $n = $LOOKED ] || return 1
  K_CRON=0
  if has crontab; then
    if [ "$T_CRON_AFTER" != keep ]; then
      cron_keep "$S_DIR/before/crontab" && k_cron=0 || k_cron=$?
      case $k_cron in
        0) [ "$T_CRON_BEFORE" != absent ] || [ ! -s "$S_DIR/before/crontab" ] || return 1
          [ "$T_CRON_BEFORE" = absent ] || [ "$(sha "$S_DIR/before/crontab")" = "$T_CRON_BEFORE" ] || return 1 ;;
        1) rm -f "$S_DIR/before/crontab"; [ "$T_CRON_BEFORE" = absent ] || return 1 ;;
        *) return 1 ;;
      esac
    fi
    cron_get own && K_CRON=1 || [ $? = 1 ] || return 1
  fi
  pids; K_RUNS=0 K_PROC= K_UID=
  if [ -n "$PIDS" ]; then K_RUNS=1 K_PROC=$(born "${PIDS##* }") K_UID=$P_UID; fi
  if L_IP=- L_PORT=$T_PORT_BEFORE; unhealthy any; then K_HEALTHY=0
  else # One look may fail where the next does not: what is healthy runs.
    K_HEALTHY=1 K_RUNS=1 K_PROC=$(born "$H_PID") K_UID=$P_UID
  fi
  if [ "$T_RESTART/$K_RUNS" = 1/1 ]; then
    # Of the process that is meant, and not of one that got its number since.
    { head -c 131072 "/proc/${K_PROC%%:*}/environ" >"$S_DIR/before/environ"; } 2>/dev/null || rm -f "$S_DIR/before/environ"
    [ -n "$K_PROC" ] && [ "$(born "${K_PROC%%:*}")" = "$K_PROC" ] || rm -f "$S_DIR/before/environ"
  fi
  L_IP=$T_IP L_PORT=$T_PORT WHY=
  K_TARS=0 K_LOG=0
  [ ! -d tars ] || K_TARS=1
  [ ! -e tars/app_log ] || K_LOG=1
  printf '%s\n' "K_CRON=$K_CRON K_RUNS=$K_RUNS K_PROC=$K_PROC K_HEALTHY=$K_HEALTHY K_TARS=$K_TARS K_LOG=$K_LOG K_UID=$K_UID" >"$S_DIR/before/facts" || return 1
  # Room that a full disk cannot take, freed for the rollback.
  dd if=/dev/zero of="$S_DIR/before/ballast" bs=1024 count=256 2>/dev/null || return 1
  flush "$S_DIR"/before/* "$S_DIR/before" "$S_DIR"
}
replace_all() { # replace_all conf: configuration only; '': the rest, and configuration if nothing restarts
  while read -r f_mode f_before f_after f_path; do
    case "$f_path" in
      */conf/*) [ "$1" = conf ] || [ "$T_RESTART" = 0 ] || continue ;;
      *) [ "$1" = '' ] || continue ;;
    esac
    if [ "$f_after" = absent ]; then tree drop "tars/$f_path"
    elif [ "$f_after" = "$f_before" ]; then note "mode $f_mode $f_path"; tree mode "$f_mode" "tars/$f_path"
    else
      note "replace $f_path"
      tree put "$f_mode" "tars/$f_path" $OWNER 3<"$B/stage/$f_after" || {
        # What has failed need not be saved: it makes room on a full disk, once nobody runs it.
        [ "$T_ON_FAILURE/$T_RESTART" = caller/1 ] && note "once more, in its place" && stop_all &&
          tree tidy "tars/$T_COMP" && tree drop "tars/$f_path" && tree put "$f_mode" "tars/$f_path" $OWNER 3<"$B/stage/$f_after"
      }
    fi || { WHY="could not replace $f_path"; return 1; }
  done <"$S_DIR/files"
}
act() {
  if [ "$T_MAKE_USER" = 1 ] && ! id -u "$T_USER" >/dev/null 2>&1; then
    note "make user $T_USER"
    { has useradd && useradd -r -m -s /bin/sh "$T_USER"; } || adduser -D "$T_USER" || { WHY="could not make user $T_USER"; return 1; }
    rights
  fi
  if [ "$T_FOLDER" = remove ]; then
    cron_change || return 1
    note "stop $T_COMP"
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    if [ "$T_STOP_SERVERS" = 1 ]; then note "stop its servers"; stop server_pids || { WHY="its servers do not stop"; return 1; }; fi
    beside move "tars/$T_COMP" "$T_AWAY" || { WHY="could not move the folder of $T_COMP to $T_TARS_PARENT/$T_AWAY"; return 1; }
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    [ ! -e "tars/$T_COMP" ] || { WHY="the folder of $T_COMP came back"; return 1; }
    beside flush tars "${T_AWAY%/*}"
    return 0
  fi
  if [ "$T_FOLDER" = create ] && [ -n "$T_BACK_FROM" ]; then
    beside move "$T_BACK_FROM" "tars/$T_COMP" || { WHY="could not move the folder of $T_COMP back"; return 1; }
    beside flush tars
    rights
  elif [ "$T_FOLDER" = create ]; then
    make_folders || { WHY="could not make the folder of $T_COMP"; return 1; }
  fi
  # First the folder is the run user's, then the run user's rights do the rest.
  if [ "$T_OWN" = 1 ]; then
    own_all || { WHY="could not give the folder to $T_USER${WHY:+: $WHY}"; return 1; }
    [ -z "$RIGHTS_WHY" ] || { WHY="$RIGHTS_WHY, so root does not work there"; return 1; }
  fi
  # The framework's disk may be another one than ours.
  if [ "$T_FOLDER" = keep ] && [ -d "tars/$T_COMP" ] && [ $OTHER_DISK = 1 ]; then tree ballast "tars/$T_COMP" || { WHY="no space left in the folder of $T_COMP, or it is read-only"; return 1; }; fi
  replace_all '' || return 1
  if [ -n "$T_OWNERS_FROM" ]; then
    { freeze "$S_DIR/before/folders" && record_owners && give_back "$B/runs/$T_OWNERS_FROM/before"; } || { WHY="could not give the folder back to its owners${WHY:+: $WHY}"; return 1; }
  fi
  tree flush_all tars "tars/$T_COMP"
  if [ "$T_RESTART" = 1 ]; then
    note "stop $T_COMP"
    # A running tarsnode writes its configuration from memory and would undo an edit made under it.
    halt_and replace_all conf || return 1
    # What need not be healthy afterwards is what is left of a removed one: stopped for good.
    [ "$T_HEALTH" = 0 ] || { start_new; WHY=; start_it; } || { [ -n "$WHY" ] || WHY="start.sh of $T_COMP failed: $(start_errors 1)"; return 1; }
  fi
  if [ "$T_HEALTH" = 1 ]; then healthy "$T_NODEID" "$T_SETTLE" "$T_DEADLINE" || return 1; fi
  cron_change || return 1
}
make_folders() { # those of a component that is not there
  beside folder tars $OWNER || return 1
  # Where only root can write, the run user's folder is made by root; then it is the run user's.
  [ -n "$P_UID_" ] || rights
  if [ -n "$P_UID_" ] && [ "$P_UID_" = "$T_UID" ]; then
    # The run user's rights are enough for all of it.
    beside folders "tars/$T_COMP/data" tars/app_log || return 1
    rights; return 0
  fi
  beside folder "tars/$T_COMP" $OWNER && { [ -d tars/app_log ] || beside folder tars/app_log $OWNER; } || return 1
  rights
  tree folder "tars/$T_COMP/data" $OWNER
}
cron_change() {
  [ "$T_CRON_AFTER" != keep ] || return 0
  # Health may have taken minutes; what somebody wrote into it meanwhile must not be lost.
  [ "$(cron_sha)" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_CRON_USER changed meanwhile"; return 1; }
  note "write the crontab of $T_CRON_USER"
  if [ "$T_CRON_AFTER" = absent ]; then cron_write absent; else cron_write "$B/stage/$T_CRON_AFTER"; fi ||
    { cron_said "could not write the crontab of $T_CRON_USER"; return 1; }
}

# ---- rollback ------------------------------------------------------------------------------
bad() { WHY=$1; u_bad=1; note "$1"; return 1; }
restore() { # restore conf|rest: those files as they were
  n=0
  while read -r f_mode f_before f_after f_path; do
    n=$((n + 1))
    case "$f_path" in */conf/*) [ "$1" = conf ] || continue ;; *) [ "$1" = rest ] || continue ;; esac
    [ "$T_FOLDER" = keep ] || continue
    if [ "$f_before" = absent ]; then
      tree drop "tars/$f_path.tarsops-new" && tree drop "tars/$f_path" || bad "could not remove $f_path"
      continue
    fi
    line_of "$S_DIR/before/$n.meta"
    r_mode=${LINE% *} r_who=${LINE#* }
    # Only root can give a file to others, and does so only where nobody else can write.
    [ $ROOT = 1 ] && [ -z "$C_UID" ] || r_who=-
    if [ -f "$S_DIR/before/$n" ]; then tree restore "$f_before" "$r_mode" "$r_who" "tars/$f_path" 3<"$S_DIR/before/$n" || bad "could not put $f_path back"
    else tree mode "$r_mode" "tars/$f_path" || bad "could not put the mode of $f_path back"
    fi
  done <"$S_DIR/files"
  return 0
}
undo() {
  u_bad=0 U_GIVEN=0 U_DOWN=0 WHY= L_IP=- L_PORT=$T_PORT_BEFORE
  # A change of owners that was cut off is ended first, so that the run user's rights can do the rest.
  if [ -s "$S_DIR/before/folders" ]; then
    { freeze "$S_DIR/before/folders" && thaw "$S_DIR/before/folders" "$T_USER:"; } || u_bad=1
    rights_of_owned
  fi
  case "$T_FOLDER" in
    remove) # Whatever was made under its name meanwhile is not it, and is saved beside it.
      if [ -d "$T_AWAY" ]; then
        if [ -e "tars/$T_COMP" ]; then beside wipe "$T_AWAY.came-back"; beside move "tars/$T_COMP" "$T_AWAY.came-back" || bad "the folder of $T_COMP is in the way"; fi
        beside move "$T_AWAY" "tars/$T_COMP" || bad "could not move the folder of $T_COMP back"
        beside unfold "${T_AWAY%/*}"
        rights
      fi ;;
    create)
      stop_all || bad "$T_COMP does not stop"
      if [ -n "$T_BACK_FROM" ]; then
        [ -e "$T_BACK_FROM" ] || beside move "tars/$T_COMP" "$T_BACK_FROM" || bad "could not move the folder of $T_COMP away again"
      else
        # Its log says why it failed.
        if [ "$K_LOG" = 0 ] && [ -e tars/app_log ]; then logs | head -c 65536 >"$S_DIR/app_log"; wipe tars/app_log || bad "could not remove app_log"; fi
        wipe "tars/$T_COMP" || bad "could not remove the folder of $T_COMP"
        if [ "$K_TARS" = 0 ] && [ -d tars ]; then
          trusted "$T_TARS_PARENT" && rmdir tars 2>/dev/null || beside wipe tars || bad "could not remove the folder of the framework"
        fi
      fi
  # A start that was under way may have come true meanwhile.
      stop_all || bad "$T_COMP does not stop" ;;
  esac
  restore rest
  undo_crontab
  [ ! -d "tars/$T_COMP" ] || tree flush_all tars "tars/$T_COMP" 2>/dev/null
  [ -d "tars/$T_COMP" ] && [ "$T_FOLDER" != create ] || { [ $u_bad = 0 ]; return; }
  pids
  if [ "$K_RUNS" = 0 ]; then
    # It did not run. What this change started goes; what a monitor started does no harm.
    restore conf
    if [ "$T_RESTART" = 1 ]; then halt_and restore conf || u_bad=1; fi
  elif [ -n "$PIDS" ] && [ "$(born "${PIDS# }")" = "$K_PROC" ] && ! unhealthy any; then
    restore conf # The old process never stopped.
  else
    halt_and restore conf && start_old && start_it || u_bad=1 U_DOWN=1
  fi
  # Owners come last: until then the run user's rights do the work.
  [ $u_bad = 1 ] || [ $U_GIVEN = 1 ] || give_back "$S_DIR/before" || bad "could not give the folder back to its owners"
  # An old state that was unhealthy before is not made worse by a failed start of it.
  if [ "$K_HEALTHY/$U_DOWN" = 1/0 ]; then
    healthy any 2 "$T_UNDO_DEADLINE" || u_bad=1
    [ $u_bad = 1 ] || [ -z "$K_UID" ] || [ "$P_UID" = "$K_UID" ] || bad "$T_COMP runs as uid $P_UID, and it ran as uid $K_UID"
  fi
  [ $u_bad = 0 ]
}
undo_crontab() {
  [ "$T_CRON_AFTER" != keep ] && has crontab || return 0
  u_now=$(cron_sha)
  if [ "$u_now" = "$T_CRON_BEFORE" ]; then return 0; fi
  # Only what we wrote is taken back: lines that somebody added meanwhile are theirs.
  [ "$u_now" = "$T_CRON_AFTER" ] || { [ "$u_now" != unknown ] || bad "could not read the crontab of $T_CRON_USER"; note "the crontab of $T_CRON_USER was edited meanwhile: left as it is"; return 0; }
  if [ -f "$S_DIR/before/crontab" ]; then cron_write "$S_DIR/before/crontab"; else cron_write absent; fi || { bad "could not put the crontab of $T_CRON_USER back"; return 0; }
}

# ---- the end -------------------------------------------------------------------------------
finish() { # finish WORD TEXT: the verdict, then the tidying that `recover` can do as well
  [ "$1" != stuck ] || note "stuck: $2"
  grep -qF "	$T_RUN	$T_STEP	$1	" "$B/audit.log" 2>/dev/null ||
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$T_RUN" "$T_STEP" "$1" "$T_HOLDER" "$T_SUMMARY" >>"$B/audit.log"
  flush "$B/audit.log"
  rm -f "$S_DIR/before/ballast" "$S_DIR/now"
  # It may hold what nobody else may know, and only a way back that has not ended needs it.
  [ "$1" = stuck ] || rm -f "$S_DIR/before/environ"
  [ "$1" = stuck ] || tree tidy "tars/$T_COMP" || tree tidy "tars/$T_COMP"
  # Without a verdict the guard stays, and tries again in a minute.
  put_word "$S_DIR/verdict" "$1$NL$2" || { note "could not write the verdict: $1"; return 1; }
  note "verdict: $1"
  tidy "$1"
}
tidy() { # what is left behind a verdict; after `stuck` the change stays known as unfinished
  case "$1" in ok | failed) OUTCOME=new ;; *) OUTCOME=old ;; esac
  if [ "$1" != stuck ]; then
    while read -r f_mode f_before f_after f_path; do case "$f_after" in absent) ;; *) rm -f "$B/stage/$f_after" ;; esac; done <"$S_DIR/files"
    case "$T_CRON_AFTER" in keep | absent) ;; *) rm -f "$B/stage/$T_CRON_AFTER" ;; esac
    rm -f "$B/current" || rm -f "$B/current" || return 0
  fi
  guard_off || { nap; guard_off; } || note "could not take the guard out of the crontab: it does so itself"
  rm -f "$S_DIR"/cron.now "$S_DIR"/cron.put "$S_DIR"/cron.err
}
refuse() { # refuse [WORD] TEXT: nothing was changed
  [ $# = 2 ] || set -- refused "$1"
  note "$1: $2"
  put_word "$S_DIR/verdict" "$1$NL$2" || note "could not write the verdict"
  exit 0
}
# The digest of what was just installed, so that the next look need not read it again.
remember() {
  r_f=tars/$T_COMP/bin/$T_COMP
  [ ! -h "$r_f" ] || return 0
  r_d=$(while read -r f_mode f_before f_after f_path; do [ "$f_path" = "$T_COMP/bin/$T_COMP" ] && echo "$f_after"; done <"$S_DIR/files")
  case "$r_d" in '' | absent) return 0 ;; esac
  r_key=$(TZ=UTC0 stat -c '%d:%i:%s:%y:%z' "$r_f" 2>/dev/null | tr ' ' '_')
  [ -n "$r_key" ] && printf '%s %s\n' "$r_key" "$r_d" >"$B/digests.new" && mv -f "$B/digests.new" "$B/digests"
}
prune() { # the newest runs are kept for `history` and `rollback`; payloads that no run took go
  ls "$B/runs" | sort -r | tail -n +$((T_KEEP + 1)) | while read -r p_run; do
    case "$p_run" in *[!0-9a-f-]* | '') continue ;; esac
    # Folders that it removed lie beside the framework's; they go with what could bring them back.
    for p_away in "$B/runs/$p_run"/*; do
      p_away=tars/.tarsops/$p_run.${p_away##*/}
      [ -d "$p_away" ] && [ ! -h "$p_away" ] || continue
      ( tree_rights "$T_TARS_PARENT" "$T_USER" tars tars/.tarsops "$p_away"; C_UID=$AS_UID C_GID=$AS_GID AS_HOW=; wipe "$p_away" )
    done
    rm -rf "$B/runs/$p_run"
  done
  find "$B/stage" -type f -mtime +1 -exec rm -f {} + 2>/dev/null
}
back_or_stuck() { # a failed change: put the old one back, or leave it as the policy says
  case "$T_ON_FAILURE/$1" in
    stop/act) finish failed "$WHY; left as it is, as on_failure: stop says"; return ;;
    # What it replaced has failed itself.
    caller/act) finish failed "$WHY"; return ;;
  esac
  u_why=$WHY
  note "put the old state back: $u_why"
  rm -f "$S_DIR/before/ballast"
  tree free "tars/$T_COMP"
  put_word "$S_DIR/phase" undoing || :
  # Each part of it may be done again, so one failure is not the end.
  if undo || { nap; undo; } || { nap; undo; }; then finish rolled-back "$u_why"
  else finish stuck "$u_why; and the old state could not be put back whole: ${WHY:-see the log}"
  fi
}
# Our own end by a signal is a failed change. `:` and not '': what we start inherits ignored signals.
interrupted() { trap : TERM INT HUP; WHY="the change was told to stop by a signal"; back_or_stuck signal; exit 0; }

# ---- main ----------------------------------------------------------------------------------
take_lock() { # take_lock act|recover|accept; sets nothing if it must not go on
  true >>"$B/lock" || exit 1
  exec 9>>"$B/lock"
  w=0
  # Who holds it may be a look's short question, so ask again for a while.
  until flock -n 9; do
    if [ $? != 1 ]; then [ "$1" = act ] || exit 1; refuse "the flock of this host does not work (package util-linux)"; fi
    line_of "$B/lock.owner"
    # Started twice after a broken connection: the first one goes on.
    [ "$LINE" != "$T_RUN $T_STEP" ] || [ $w -lt 5 ] || exit 0
    w=$((w + 1))
    [ $w -lt 25 ] || { [ "$1" = act ] || exit 0; refuse busy "another change is at work on this host"; }
    nap
  done
}
main() {
  AS_UID= AS_HOW= LOOKED=0 K_UID=
  GUARDED=0 OUTCOME=old WHY= H_PID= PIDS= C_TEXT=
  K_CRON=0 K_RUNS=0 K_PROC= K_HEALTHY=0 K_TARS=1 K_LOG=1
  own_uid
  m_stats=$(stat -L -c '%d:%i' / "$S_DIR" "tars/$T_COMP" 2>/dev/null)
  ROOT_ID=${m_stats%%"$NL"*} m_stats=${m_stats#*"$NL"}
  case "$ROOT_ID" in *:*) ;; *) exit 1 ;; esac
  # Whether the component lies on another file system than our own files.
  OTHER_DISK=0 m_tree=${m_stats#*"$NL"}
  [ "${m_stats%%:*}" = "${m_tree%%:*}" ] || OTHER_DISK=1
  ROOT=0 SAME_CRON=1
  [ "$S_UID" != 0 ] || ROOT=1
  rights_of_owned
  # An earlier version did not write down whose crontab it is.
  : "${T_CRON_USER:=$T_USER}"
  if [ $ROOT = 0 ]; then :
  elif [ "$T_CRON_USER" = "$T_USER" ]; then [ "$S_UID" = "$T_UID" ] || SAME_CRON=0
  else [ "$(id -u "$T_CRON_USER" 2>/dev/null)" = "$S_UID" ] || SAME_CRON=0
  fi
  T_BIN=$T_TARS/$T_COMP/bin/$T_COMP L_IP=$T_IP L_PORT=$T_PORT
  take_lock "$1"
  line_of "$B/current"
  OURS=0; [ "$LINE" != "$T_RUN $T_STEP" ] || OURS=1
  if [ -f "$S_DIR/verdict" ]; then
    line_of "$S_DIR/verdict"
    [ "$1" = act ] || [ $OURS = 0 ] || { note "tidy up"; known_facts; tidy "$LINE"; }
    exit 0
  fi
  # Called off by the one who started it.
  [ -f "$S_DIR/intent" ] || exit 0
  { printf '%s\n' "$T_RUN $T_STEP" >"$B/lock.owner"; } 2>/dev/null || [ "$1" != act ] || refuse "could not write below $B: no space left or read-only"
  if [ "$1" = act ]; then begin; else recover "$1"; fi
}
known_facts() { # what was there before; an earlier version did not write down all of it
  [ ! -r "$S_DIR/before/facts" ] || . "$S_DIR/before/facts"
  case " $UIDS " in *" $K_UID "*) ;; *) UIDS="$UIDS $K_UID" ;; esac
}
# Whether something that the change began, before it was cut off, may still be about to start the
# component: it would run beside the one that is put back.
begun() {
  for b_p in $(printf '%s\n' "$T_RUN/$T_STEP/change.sh" "$T_TARS/$T_COMP/util/start.sh" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null); do
    b_p=${b_p#/proc/}; b_p=${b_p%%/*}
    case "$({ tr '\0' ' ' <"/proc/$b_p/cmdline"; } 2>/dev/null)" in
      *"/change.sh act "* | *"/util/start.sh "*) same_root "$b_p" && return 0 ;;
    esac
  done
  return 1
}
# What a change of owners that was cut off has taken goes to whom what runs belongs to.
settle_owners() {
  [ -s "$S_DIR/before/folders" ] || return 0
  pids
  if [ -n "$PIDS" ] && [ "$P_UID" = "$T_UID" ]; then freeze "$S_DIR/before/folders" && thaw "$S_DIR/before/folders" "$T_USER:"
  else give_back "$S_DIR/before"
  fi
}
recover() { # recover recover|accept
  known_facts
  line_of "$S_DIR/phase"; phase=$LINE
  if [ -z "$phase" ]; then
    [ $OURS = 0 ] || rm -f "$B/current"
    guard_off
    refuse "it had not begun when it ended"
  fi
  GUARDED=1
  trap : HUP TERM INT
  note "recover from phase $phase"
  r_left=30
  while [ $r_left -gt 0 ] && begun; do nap 0.1; r_left=$((r_left - 1)); done
  if [ "$phase" = done ]; then finish ok "done; its end was cut off"; return; fi
  if [ "$1" = accept ]; then
    settle_owners || note "owners are not all settled${WHY:+: $WHY}"
    tree free "tars/$T_COMP"
    finish failed "left as it was found, as a person has said"
    return
  fi
  WHY="the change was cut off while $phase"
  back_or_stuck recover
}
begin() {
  line_of "$B/fence"
  case "$LINE" in
    *[!0-9a-f-]*) refuse "the file $B/fence is damaged; remove it once you know that no other run is under way" ;;
  esac
  if [ -n "$LINE" ] && [ "$LINE" != "$T_RUN" ]; then
    [ "$(printf '%s\n%s\n' "$LINE" "$T_RUN" | sort | tail -n 1)" = "$T_RUN" ] || refuse fenced "a newer run, $LINE, has been on this host"
  fi
  line_of "$B/current"
  if [ -n "$LINE" ]; then
    # Begun before and cut off: that is for `recover`.
    [ $OURS = 0 ] || exit 0
    c_dir=$B/runs/${LINE% *}/${LINE#* } c_name=${LINE% *}/${LINE#* }
    line_of "$c_dir/verdict"
    case "$LINE" in '' | stuck) refuse "the change $c_name on this host has not ended" ;; esac
    # Ended, but for the tidying.
    rm -f "$B/current"
  fi
  line_of "$S_DIR/expires"
  [ -z "$LINE" ] || ! late $LINE || refuse late "it began after its time, or after the host was started again: the lease may be another run's by now"
  no_room="could not write below $B: no space left or read-only"
  # The look of this very step has written it as a rule.
  line_of "$B/fence"
  [ "$LINE" = "$T_RUN" ] || put_word "$B/fence" "$T_RUN" || refuse "$no_room"
  close_folders
  check_unmoved
  case $? in 0) ;; 1) refuse moved "$WHY" ;; *) refuse "$WHY" ;; esac
  keep_before || {
    rm -rf "$S_DIR/before"
    # The component writes its configuration itself.
    check_unmoved || refuse moved "$WHY"
    refuse "could not keep what is there now: no space left or read-only"
  }
  # From here on the host must end this by itself.
  guard_on || { cron_said "could not put the guard into the crontab"; refuse "$WHY"; }
  put_word "$B/current" "$T_RUN $T_STEP" || { rm -f "$B/current"; guard_off; refuse "$no_room"; }
  put_word "$S_DIR/phase" acting || { rm -f "$S_DIR/phase" "$B/current"; guard_off; refuse "$no_room"; }
  trap interrupted TERM INT
  trap : HUP
  if act; then
    trap : TERM INT
    put_word "$S_DIR/phase" "done" || note "could not write the phase"
    remember
    finish ok "done"
    prune
  else
    trap : TERM INT
    back_or_stuck act
  fi
}
main "${1:-act}"
