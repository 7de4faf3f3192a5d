# Changes one component on this host, from the old state to the new one or back, by itself.
# Lies in .tarsops/runs/<run>/<step>/change.sh beside the data it works on and runs detached from
# whoever started it. `change.sh act` begins; `change.sh recover` ends what a dead `act` left.
#
#   env       T_* variables, quoted          files    what to replace (see below)
#   stage/    payloads by sha256             before/  what was there, by line number of `files`
#   phase     how far it came                verdict  word, then one line for people
#
# A line of `files`: mode before after path, where before and after are sha256 or `absent` and the
# path is relative to the framework's folder. What must stay true: `phase` says `acting` and is on
# disk before the first change; every replacement is a rename within one folder; whoever restarts
# the component meanwhile starts either the whole old or the whole new binary; each part may be cut
# off anywhere and done again. No path of a binary stands on a command line (start.sh would kill
# us): all work is relative.
#
# Who ends it if it dies: from before `current` is there until after it is gone a guard line in the
# crontab calls `recover` each minute. A verdict comes before that tidying, so a verdict may be read
# a moment before the lock is free, and `recover` of a change with a verdict only tidies.

set -u
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
S_DIR=${0%/*}
. "$S_DIR/env"
B=$T_INSTALL/.tarsops
NL='
'
cd "$T_TARS_PARENT" || exit 1

note() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
nap() { sleep "${1:-0.2}" 2>/dev/null || sleep 1; }
clock() { # NOW: hundredths of a second since boot, which nobody can set
  read -r c_up c_rest </proc/uptime
  NOW=$((${c_up%.*} * 100 + 1${c_up#*.} - 100))
}
line_of() { # line_of FILE: its first line in LINE, nothing where there is none
  LINE=; [ -r "$1" ] || return 0
  read -r LINE <"$1" || :
}
# Puts files, or the entries of a folder, on disk; an old sync(1) takes no names and syncs it all.
flush() { sync "$@" 2>/dev/null || sync; }
put_word() { # put_word FILE TEXT: replaces a small file in one step, on disk afterwards
  for p_try in 1 2 3; do
    { printf '%s\n' "$2" >"$1.new"; } 2>/dev/null && flush "$1.new" && mv -f "$1.new" "$1" && flush "${1%/*}" && return 0
    nap
  done
  return 1
}
sha() { # with the fastest tool there is; one that is there and does not work is passed over
  if has openssl && s_d=$(openssl dgst -sha256 -r <"$1" 2>/dev/null); then echo "${s_d%% *}"
  elif has sha256sum; then sha256sum <"$1" | cut -d' ' -f1
  elif has busybox; then busybox sha256sum <"$1" | cut -d' ' -f1
  else shasum -a 256 <"$1" | cut -d' ' -f1
  fi
}
sha_or_absent() { if [ -f "$1" ]; then sha "$1"; elif [ -e "$1" ] || [ -h "$1" ]; then echo not-a-file; else echo absent; fi; }

# ---- crontab -------------------------------------------------------------------------------
# The guard stands first: settings further down (SHELL=, PATH=) are not for it.
GUARD="* * * * * sh $B/guard.sh >/dev/null 2>&1 # tarsops-guard"
cron_own() { crontab "$@"; } # of whoever runs this, who gets the guard
cron_user() { if [ $SAME_CRON = 1 ]; then crontab "$@"; else crontab -u "$T_USER" "$@"; fi; }
# A crontab that cannot be read is not an empty one: it must never be written from nothing.
cron_get() { # cron_get own|user: C_TEXT; status 1 where there is none, 2 where that is not known
  # A user who is not there yet has none; asked about him, crontab(1) only fails.
  if [ "$1/$SAME_CRON" = user/0 ] && ! id -u "$T_USER" >/dev/null 2>&1; then C_TEXT=; return 1; fi
  C_TEXT=$(cron_"$1" -l 2>"$S_DIR/cron.err"; echo "x$?")
  c_status=${C_TEXT##*x}
  C_TEXT=${C_TEXT%x*}
  [ "$c_status" != 0 ] || return 0
  C_TEXT=$(cat "$S_DIR/cron.err")
  case "$C_TEXT" in
    *[Nn]'o crontab'* | *"can't open"*'No such file'*) C_TEXT=; return 1 ;;
    *) note "could not read the crontab:" $C_TEXT; C_TEXT=; return 2 ;;
  esac
}
cron_said() { WHY="$1: $(cat "$S_DIR/cron.err" 2>/dev/null)"; }
# The text on standard output, without any guard or without ours.
cron_bare() { printf '%s' "$C_TEXT" | sed '/# tarsops-guard$/d'; }
cron_less() { printf '%s' "$C_TEXT" | sed "\\| $B/guard\\.sh .*# tarsops-guard\$|d"; }
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
  case "$C_TEXT" in *" $B/guard.sh "*) ;; *) return 0 ;; esac
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
pids() { # PIDS: processes of the component, P_ARGS: the last one's words. The pattern goes in on standard input.
  PIDS= P_ARGS= p_seen=' '
  for p_line in $(
    printf '%s\n' "$T_BIN" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null
    ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F -e " ${T_BIN%/*}/"
  ); do
    # Of a line of ls the word with the link counts.
    case "$p_line" in /proc/[0-9]*/cmdline | /proc/[0-9]*/exe) ;; *) continue ;; esac
    p=${p_line#/proc/}; p=${p%%/*}
    case "$p_seen" in *" $p "*) continue ;; esac
    p_seen="$p_seen$p "
    [ "$p" != "$$" ] || continue
    p_args=$({ tr '\0' '\n' <"/proc/$p/cmdline"; } 2>/dev/null)
    # `--monitor` and the version flags are questions, not the service.
    case "$p_args$NL" in *"$NL"--monitor"$NL"* | *"$NL"--version"$NL"* | *"$NL"--nodeversion"$NL"* | *"$NL"--tarsversion"$NL"*) continue ;; esac
    p_exe=$(readlink "/proc/$p/exe" 2>/dev/null)
    case "${p_args%%"$NL"*}|${p_exe% (deleted)}" in
      "$T_BIN|"* | *"|$T_BIN") same_root "$p" && PIDS="$PIDS $p" P_ARGS=$p_args ;;
    esac
  done
}
# Servers that it runs, told by the data folder on their command lines.
server_pids() {
  PIDS=
  for p in $(printf '%s\n' "$T_TARS/$T_COMP/data/" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null | sed 's|^/proc/||; s|/.*||'); do
    [ "$p" != "$$" ] && same_root "$p" && PIDS="$PIDS $p"
  done
}
stop_all() { stop pids; }
stop() { # stop pids|server_pids: asks each once to end, then ends it
  clock; w_end=$((NOW + T_STOP_TICKS * 20)) w_told= w_nap=0.05
  while "$1"; [ -n "$PIDS" ]; do
    clock
    if [ $NOW -gt $((w_end + 1000)) ]; then return 1
    elif [ $NOW -gt $w_end ]; then kill -9 $PIDS 2>/dev/null
    elif [ "$PIDS" != "$w_told" ]; then kill $PIDS 2>/dev/null; w_told=$PIDS
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
start_it() {
  # What was published to a plain node has a program and nothing else; its tarsnode starts it.
  if [ "$T_COMP" != tarsnode ] && [ ! -e "tars/$T_COMP/util" ]; then note "its tarsnode starts $T_COMP"; return 0; fi
  [ -f "tars/$T_COMP/util/start.sh" ] || { WHY="there is no util/start.sh to start $T_COMP with"; return 1; }
  note "start $T_COMP as $T_USER"
  # In the background, as a start script that never returns must not keep us; it inherits neither
  # the lock nor our locale, and no signal that we ignore.
  ( unset LC_ALL
    if [ $ROOT = 0 ] || [ "$T_USER" = root ]; then exec sh "$T_TARS/$T_COMP/util/start.sh"
    elif has runuser; then exec runuser -u "$T_USER" -- sh "$T_TARS/$T_COMP/util/start.sh"
    else exec su -s /bin/sh -c "exec sh '$T_TARS/$T_COMP/util/start.sh'" "$T_USER"
    fi ) </dev/null >/dev/null 2>"$S_DIR/start.err" 9>&- &
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
    h_u=$(stat -c %U "/proc/$H_PID" 2>/dev/null)
    [ "$h_u" = "$T_USER" ] || { WHY="$T_COMP runs as $h_u, not $T_USER"; return 0; }
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
      tail -n 3 "$S_DIR/start.err" 2>/dev/null
      return 1
    fi
    nap $h_nap
  done
}

# ---- files ---------------------------------------------------------------------------------
into_place() { # into_place PATH: what lies beside it becomes it
  flush "tars/$1.tarsops-new" && mv -f "tars/$1.tarsops-new" "tars/$1"
}
make_folder() { mkdir -p "$1" && { [ $ROOT = 0 ] || chown "$T_USER:" "$1"; }; }
place() { # place SOURCE MODE PATH: a copy of SOURCE under PATH, whole or not at all
  case "$3" in */*) [ -d "tars/${3%/*}" ] || make_folder "tars/${3%/*}" || return 1 ;; esac
  rm -f "tars/$3.tarsops-new" && cp "$1" "tars/$3.tarsops-new" && chmod "$2" "tars/$3.tarsops-new" &&
    { [ $ROOT = 0 ] || chown "$T_USER:" "tars/$3.tarsops-new"; } && into_place "$3" && return 0
  rm -f "tars/$3.tarsops-new"
  return 1
}
own_all() {
  [ $ROOT = 1 ] || return 0
  chown "$T_USER:" tars && chown -R "$T_USER:" "tars/$T_COMP" || return 1
  [ ! -d tars/app_log ] || chown -R "$T_USER:" tars/app_log
}
give_back() { # give_back LIST: owners as they were; names that are gone are nobody's loss
  [ $ROOT = 1 ] || return 0
  g_bad=0
  while read -r g_who g_path; do
    [ ! -e "$g_path" ] && [ ! -h "$g_path" ] || chown -h "$g_who" "$g_path" || g_bad=1
  done <"$1"
  return $g_bad
}

# Every fact that the plan rested upon: 1 if one has moved, 2 if it cannot be done here at all.
check_unmoved() {
  if [ "$T_MACHINE_ID" != - ]; then
    line_of "${TARSOPS_MACHINE_ID:-/etc/machine-id}"
    [ "$LINE" = "$T_MACHINE_ID" ] || { WHY="this is another machine than the one that was looked at"; return 1; }
  fi
  while read -r f_mode f_before f_after f_path; do
    [ ! -h "tars/$f_path" ] || { WHY="$f_path is a symbolic link, which is not replaced"; return 2; }
    f_now=$(sha_or_absent "tars/$f_path")
    [ "$f_now" = "$f_before" ] || { WHY="$f_path changed since it was looked at"; return 1; }
    [ "$f_after" = absent ] || [ "$f_after" = "$f_before" ] || staged "$f_after" "content of $f_path" || return 1
  done <"$S_DIR/files" || return $?
  if [ "$T_CRON_AFTER" != keep ]; then
    f_now=$(cron_sha)
    [ "$f_now" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_USER changed since it was looked at"; return 1; }
    [ "$T_CRON_AFTER" = absent ] || staged "$T_CRON_AFTER" crontab || return 1
  fi
  if [ "$T_FOLDER" != keep ]; then
    if [ -e "tars/$T_COMP" ]; then f_now=present; else f_now=absent; fi
    [ "$T_FOLDER/$f_now" = remove/present ] || [ "$T_FOLDER/$f_now" = create/absent ] ||
      { WHY="the folder of $T_COMP is $f_now"; return 1; }
    # Folders are moved whole, which only a rename does.
    if [ "$T_FOLDER" = remove ] || [ -n "$T_BACK_FROM" ]; then
      [ "$T_FOLDER" = remove ] || [ -d "$T_BACK_FROM" ] || { WHY="the folder that was kept is not there any more"; return 1; }
      [ "$(stat -L -c %d tars)" = "$(stat -c %d "$B")" ] ||
        { WHY="$T_TARS lies on another file system than $B: a folder cannot be moved between them in one step"; return 2; }
    fi
  fi
  [ -z "$T_OWNERS_FROM" ] || [ -r "$T_OWNERS_FROM" ] || { WHY="the list of owners is not there any more"; return 1; }
}
staged() { # staged SHA WHAT: a damaged one goes, so that the next try sends it again
  [ "$(sha_or_absent "$B/stage/$1")" != "$1" ] || return 0
  rm -f "$B/stage/$1"
  WHY="the staged $2 is missing or damaged"
  return 1
}
keep_before() {
  # What an earlier, cut-off start of this change left must not be written through: it may be a
  # link to the living file.
  rm -rf "$S_DIR/before" && mkdir "$S_DIR/before" || return 1
  n=0
  while read -r f_mode f_before f_after f_path; do
    n=$((n + 1))
    [ "$f_before" != absent ] || continue
    stat -c '%a %u:%g' "tars/$f_path" >"$S_DIR/before/$n.meta" || return 1
    [ "$f_before" != "$f_after" ] || continue
    # Own files are never written in place, so a link keeps the old content at no cost. The
    # component writes its configuration itself: that is copied.
    case "$f_path" in
      */bin/*) ln "tars/$f_path" "$S_DIR/before/$n" 2>/dev/null || cp -p "tars/$f_path" "$S_DIR/before/$n" || return 1 ;;
      *) cp -p "tars/$f_path" "$S_DIR/before/$n" || return 1
        [ "$(sha "$S_DIR/before/$n")" = "$f_before" ] || return 1 ;;
    esac
  done <"$S_DIR/files" || return 1
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
  if [ "$T_OWN" = 1 ] || [ -n "$T_OWNERS_FROM" ]; then keep_owners || return 1; fi
  pids; K_RUNS=0 K_PROC=
  if [ -n "$PIDS" ]; then K_RUNS=1 K_PROC=$(born "${PIDS##* }"); fi
  if L_IP=- L_PORT=$T_PORT_BEFORE; unhealthy any; then K_HEALTHY=0
  else # One look may fail where the next does not: what is healthy runs.
    K_HEALTHY=1 K_RUNS=1 K_PROC=$(born "$H_PID")
  fi
  L_IP=$T_IP L_PORT=$T_PORT WHY=
  K_TARS=0 K_LOG=0
  [ ! -d tars ] || K_TARS=1
  [ ! -e tars/app_log ] || K_LOG=1
  printf '%s\n' "K_CRON=$K_CRON K_RUNS=$K_RUNS K_PROC=$K_PROC K_HEALTHY=$K_HEALTHY K_TARS=$K_TARS K_LOG=$K_LOG" >"$S_DIR/before/facts" || return 1
  # Room that a full disk cannot take: freed for the way back.
  dd if=/dev/zero of="$S_DIR/before/ballast" bs=1024 count=256 2>/dev/null || return 1
  flush "$S_DIR"/before/* "$S_DIR/before" "$S_DIR"
}
keep_owners() {
  [ -d "tars/$T_COMP" ] || return 0
  set -- tars "tars/$T_COMP"; [ ! -d tars/app_log ] || set -- "$@" tars/app_log
  stat -c '%u:%g %n' "$@" >"$S_DIR/before/owners" || return 1
  shift
  o_uid=$(id -u "$T_USER" 2>/dev/null) && o_gid=$(id -g "$T_USER" 2>/dev/null) || o_uid= o_gid=
  # Files come and go under a running agent; that one has gone is no failure.
  if [ -n "$o_uid" ]; then find "$@" \( ! -user "$o_uid" -o ! -group "$o_gid" \) -exec stat -c '%u:%g %n' {} + >>"$S_DIR/before/owners" 2>/dev/null
  else find "$@" -exec stat -c '%u:%g %n' {} + >>"$S_DIR/before/owners" 2>/dev/null
  fi
  return 0
}

replace_all() { # replace_all conf: configuration only; '': the rest, and configuration if nothing restarts
  while read -r f_mode f_before f_after f_path; do
    case "$f_path" in
      */conf/*) [ "$1" = conf ] || [ "$T_RESTART" = 0 ] || continue ;;
      *) [ "$1" = '' ] || continue ;;
    esac
    if [ "$f_after" = absent ]; then rm -f "tars/$f_path"
    elif [ "$f_after" = "$f_before" ]; then note "mode $f_mode $f_path"; chmod "$f_mode" "tars/$f_path"
    else
      note "replace $f_path"
      place "$B/stage/$f_after" "$f_mode" "$f_path" || {
        # What has failed need not be kept: it makes room on a full disk, once nobody runs it.
        [ "$T_ON_FAILURE/$T_RESTART" = caller/1 ] && note "once more, in its place" && stop_all &&
          rm -f "tars/$f_path" && place "$B/stage/$f_after" "$f_mode" "$f_path"
      }
    fi || { WHY="could not replace $f_path"; return 1; }
  done <"$S_DIR/files"
}
act() {
  if [ "$T_MAKE_USER" = 1 ] && ! id -u "$T_USER" >/dev/null 2>&1; then
    note "make user $T_USER"
    if has useradd; then useradd -r -m -s /bin/sh "$T_USER"; else adduser -D "$T_USER"; fi || { WHY="could not make user $T_USER"; return 1; }
  fi
  if [ "$T_FOLDER" = remove ]; then
    cron_change || return 1
    note "stop $T_COMP"
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    if [ "$T_STOP_SERVERS" = 1 ]; then note "stop its servers"; stop server_pids || { WHY="its servers do not stop"; return 1; }; fi
    mv "tars/$T_COMP" "$T_AWAY" || { WHY="could not move the folder of $T_COMP away"; return 1; }
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    [ ! -e "tars/$T_COMP" ] || { WHY="the folder of $T_COMP came back"; return 1; }
    flush tars "$S_DIR/before"
    return 0
  fi
  if [ "$T_FOLDER" = create ] && [ -n "$T_BACK_FROM" ]; then
    mv "$T_BACK_FROM" "tars/$T_COMP" || { WHY="could not move the folder of $T_COMP back"; return 1; }
    flush tars
  elif [ "$T_FOLDER" = create ]; then
    mkdir -p "tars/$T_COMP/data" tars/app_log || { WHY="could not make the folder of $T_COMP"; return 1; }
  fi
  replace_all '' || return 1
  if [ -n "$T_OWNERS_FROM" ]; then give_back "$T_OWNERS_FROM" || { WHY="could not give the folder back to its owners"; return 1; }; fi
  if [ "$T_OWN" = 1 ]; then own_all || { WHY="could not give the folder to $T_USER"; return 1; }; fi
  flush tars "tars/$T_COMP" "tars/$T_COMP"/*/
  if [ "$T_RESTART" = 1 ]; then
    note "stop $T_COMP"
    # A running tarsnode writes its configuration from memory and would undo an edit made under it.
    halt_and replace_all conf || return 1
    # What need not be healthy afterwards is what is left of a removed one: stopped for good.
    [ "$T_HEALTH" = 0 ] || start_it || { WHY="start.sh of $T_COMP failed: $(tail -n 1 "$S_DIR/start.err" 2>/dev/null)"; return 1; }
  fi
  if [ "$T_HEALTH" = 1 ]; then healthy "$T_NODEID" "$T_SETTLE" "$T_DEADLINE" || return 1; fi
  cron_change || return 1
}
cron_change() {
  [ "$T_CRON_AFTER" != keep ] || return 0
  # Health may have taken minutes; what somebody wrote into it meanwhile must not be lost.
  [ "$(cron_sha)" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_USER changed meanwhile"; return 1; }
  note "write the crontab of $T_USER"
  if [ "$T_CRON_AFTER" = absent ]; then cron_write absent; else cron_write "$B/stage/$T_CRON_AFTER"; fi ||
    { cron_said "could not write the crontab of $T_USER"; return 1; }
}

# ---- the way back --------------------------------------------------------------------------
bad() { WHY=$1; u_bad=1; note "$1"; return 1; }
restore() { # restore conf|rest: those files as they were
  n=0
  while read -r f_mode f_before f_after f_path; do
    n=$((n + 1))
    case "$f_path" in */conf/*) [ "$1" = conf ] || continue ;; *) [ "$1" = rest ] || continue ;; esac
    [ ! -e "tars/$f_path.tarsops-new" ] || rm -f "tars/$f_path.tarsops-new"
    [ "$T_FOLDER" = keep ] || continue
    if [ "$f_before" = absent ]; then
      [ ! -e "tars/$f_path" ] || rm -f "tars/$f_path" || bad "could not remove $f_path"
      continue
    fi
    if [ "$(sha_or_absent "tars/$f_path")" != "$f_before" ]; then
      restore_one "$n" "$f_path" || { bad "could not put $f_path back"; continue; }
    fi
    line_of "$S_DIR/before/$n.meta"
    if [ "$(stat -c '%a %u:%g' "tars/$f_path" 2>/dev/null)" != "$LINE" ]; then
      { [ $ROOT = 0 ] || chown "${LINE#* }" "tars/$f_path"; } && chmod "${LINE% *}" "tars/$f_path" || bad "could not put the mode of $f_path back"
    fi
  done <"$S_DIR/files"
  return 0
}
restore_one() {
  [ -f "$S_DIR/before/$1" ] || return 1
  case "$2" in
    */bin/*) ln "$S_DIR/before/$1" "tars/$2.tarsops-new" 2>/dev/null || cp -p "$S_DIR/before/$1" "tars/$2.tarsops-new" ;;
    *) cp -p "$S_DIR/before/$1" "tars/$2.tarsops-new" ;;
  esac && into_place "$2"
}
undo() {
  u_bad=0 WHY= L_IP=- L_PORT=$T_PORT_BEFORE
  case "$T_FOLDER" in
    remove) # Whatever was made under its name meanwhile is not it, and is kept aside.
      if [ -d "$T_AWAY" ]; then
        if [ -e "tars/$T_COMP" ]; then rm -rf "$S_DIR/came-back"; mv "tars/$T_COMP" "$S_DIR/came-back" || bad "the folder of $T_COMP is in the way"; fi
        mv "$T_AWAY" "tars/$T_COMP" || bad "could not move the folder of $T_COMP back"
      fi ;;
    create)
      stop_all || bad "$T_COMP does not stop"
      if [ -n "$T_BACK_FROM" ]; then
        [ -e "$T_BACK_FROM" ] || mv "tars/$T_COMP" "$T_BACK_FROM" || bad "could not move the folder of $T_COMP away again"
      else
        rm -rf "tars/$T_COMP" || bad "could not remove the folder of $T_COMP"
        # Its log says why it failed.
        if [ "$K_LOG" = 0 ] && [ -e tars/app_log ]; then rm -rf "$S_DIR/app_log"; mv tars/app_log "$S_DIR/app_log" || rm -rf tars/app_log || bad "could not remove app_log"; fi
        [ "$K_TARS" = 1 ] || [ ! -d tars ] || rmdir tars || bad "could not remove the folder of the framework"
      fi
      # A start that was under way may have come true meanwhile.
      stop_all || bad "$T_COMP does not stop" ;;
  esac
  restore rest
  if [ -f "$S_DIR/before/owners" ]; then give_back "$S_DIR/before/owners" || bad "could not give the folder back to its owners"; fi
  undo_crontab
  flush tars "tars/$T_COMP" "tars/$T_COMP"/*/ 2>/dev/null
  [ -d "tars/$T_COMP" ] && [ "$T_FOLDER" != create ] || { [ $u_bad = 0 ]; return; }
  pids
  if [ "$K_RUNS" = 0 ]; then
    # It did not run. What this change started goes; what a monitor started does no harm.
    restore conf
    if [ "$T_RESTART" = 1 ]; then halt_and restore conf || u_bad=1; fi
  elif [ -n "$PIDS" ] && [ "$(born "${PIDS# }")" = "$K_PROC" ] && ! unhealthy any; then
    restore conf # The old process never stopped.
  else
    halt_and restore conf && start_it || u_bad=1
  fi
  # An old state that was unhealthy before is not made worse by a failed start of it.
  if [ "$K_HEALTHY" = 1 ]; then healthy any 2 "$T_UNDO_DEADLINE" || u_bad=1; fi
  [ $u_bad = 0 ]
}
undo_crontab() {
  [ "$T_CRON_AFTER" != keep ] && has crontab || return 0
  u_now=$(cron_sha)
  if [ "$u_now" = "$T_CRON_BEFORE" ]; then return 0; fi
  # Only what we wrote is taken back: lines that somebody added meanwhile are theirs.
  [ "$u_now" = "$T_CRON_AFTER" ] || { [ "$u_now" != unknown ] || bad "could not read the crontab of $T_USER"; note "the crontab of $T_USER was edited meanwhile: left as it is"; return 0; }
  if [ -f "$S_DIR/before/crontab" ]; then cron_write "$S_DIR/before/crontab"; else cron_write absent; fi || { bad "could not put the crontab of $T_USER back"; return 0; }
}

# ---- the end -------------------------------------------------------------------------------
finish() { # finish WORD TEXT: the verdict, then the tidying that `recover` can do as well
  [ "$1" != stuck ] || note "stuck: $2"
  grep -qF "	$T_RUN	$T_STEP	$1	" "$B/audit.log" 2>/dev/null ||
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$T_RUN" "$T_STEP" "$1" "$T_HOLDER" "$T_SUMMARY" >>"$B/audit.log"
  flush "$B/audit.log"
  rm -f "$S_DIR/before/ballast"
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
  r_d=$(while read -r f_mode f_before f_after f_path; do [ "$f_path" = "$T_COMP/bin/$T_COMP" ] && echo "$f_after"; done <"$S_DIR/files")
  case "$r_d" in '' | absent) return 0 ;; esac
  r_key=$(stat -L -c '%d:%i:%s:%y:%z' "$r_f" 2>/dev/null | tr ' ' '_')
  [ -n "$r_key" ] && printf '%s %s\n' "$r_key" "$r_d" >"$B/digests.new" && mv -f "$B/digests.new" "$B/digests"
}
prune() { # the newest runs are kept for `history` and `rollback`; payloads that no run took go
  ls "$B/runs" | sort -r | tail -n +$((T_KEEP + 1)) | while read -r p_run; do
    case "$p_run" in *[!0-9a-f-]* | '') ;; *) rm -rf "$B/runs/$p_run" ;; esac
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
  put_word "$S_DIR/phase" undoing || :
  # Each part of it may be done again, so one failure is not the end.
  if undo || { nap; undo; } || { nap; undo; }; then finish rolled-back "$u_why"
  else finish stuck "$u_why; and the old state could not be put back whole: ${WHY:-see the log}"
  fi
}
# Our own end by a signal is a failed change. `:` and not '': what we start inherits ignored signals.
interrupted() { trap : TERM INT HUP; WHY="the change was told to stop by a signal"; back_or_stuck signal; exit 0; }

# ---- main ----------------------------------------------------------------------------------
take_lock() { # take_lock act|recover; sets nothing if it must not go on
  true >>"$B/lock" || exit 1
  exec 9>>"$B/lock"
  w=0
  # Who holds it may be a look's short question, so ask again for a while.
  while ! flock -n 9; do
    line_of "$B/lock.owner"
    # Started twice after a broken connection: the first one goes on.
    [ "$LINE" != "$T_RUN $T_STEP" ] || [ $w -lt 5 ] || exit 0
    w=$((w + 1))
    [ $w -lt 25 ] || { [ "$1" = act ] || exit 0; refuse "another change is at work on this host"; }
    nap
  done
}
main() {
  GUARDED=0 OUTCOME=old WHY= H_PID= PIDS= C_TEXT=
  K_CRON=0 K_RUNS=0 K_PROC= K_HEALTHY=0 K_TARS=1 K_LOG=1
  m_me=$(id -un) && m_uid=$(id -u) && ROOT_ID=$(stat -L -c '%d:%i' /) || exit 1
  ROOT=0 SAME_CRON=1
  [ "$m_uid" != 0 ] || ROOT=1
  [ $ROOT = 0 ] || [ "$m_me" = "$T_USER" ] || SAME_CRON=0
  T_BIN=$T_TARS/$T_COMP/bin/$T_COMP L_IP=$T_IP L_PORT=$T_PORT
  take_lock "$1"
  line_of "$B/current"
  OURS=0; [ "$LINE" != "$T_RUN $T_STEP" ] || OURS=1
  if [ -f "$S_DIR/verdict" ]; then
    line_of "$S_DIR/verdict"
    [ "$1" != recover ] || [ $OURS = 0 ] || { note "tidy up"; known_facts; tidy "$LINE"; }
    exit 0
  fi
  # Called off by the one who started it.
  [ -f "$S_DIR/intent" ] || exit 0
  { printf '%s\n' "$T_RUN $T_STEP" >"$B/lock.owner"; } 2>/dev/null || [ "$1" = recover ] || refuse "could not write below $B: no space left or read-only"
  if [ "$1" = recover ]; then recover; else begin; fi
}
known_facts() { [ ! -r "$S_DIR/before/facts" ] || . "$S_DIR/before/facts"; }
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
recover() {
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
  WHY="the change was cut off while $phase"
  back_or_stuck recover
}
begin() {
  line_of "$B/fence"
  case "$LINE" in
    *[!0-9a-f-]*) refuse "the file $B/fence is damaged; remove it once you know that no other run is under way" ;;
  esac
  if [ -n "$LINE" ] && [ "$LINE" != "$T_RUN" ]; then
    [ "$(printf '%s\n%s\n' "$LINE" "$T_RUN" | sort | tail -n 1)" = "$T_RUN" ] || refuse "a newer run, $LINE, has been on this host"
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
  no_room="could not write below $B: no space left or read-only"
  put_word "$B/fence" "$T_RUN" || refuse "$no_room"
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
