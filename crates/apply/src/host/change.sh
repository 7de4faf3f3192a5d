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
# the component meanwhile starts either the whole old or the whole new binary; a verdict is written
# last. No path of a binary stands on a command line (start.sh would kill us): all work is relative.

set -u
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
S_DIR=${0%/*}
. "$S_DIR/env"
B=$T_INSTALL/.tarsops
cd "$T_TARS_PARENT" || exit 1

note() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
# Puts files, or the entries of a folder, on disk; an old sync(1) takes no names and syncs it all.
flush() { sync "$@" 2>/dev/null || sync; }
put_word() { # put_word FILE TEXT: replaces a small file in one step, on disk afterwards
  printf '%s\n' "$2" >"$1.new" && flush "$1.new" && mv -f "$1.new" "$1" && flush "${1%/*}"
}
sha() {
  if has sha256sum; then sha256sum <"$1" | cut -d' ' -f1
  elif has openssl; then openssl dgst -sha256 -r <"$1" | cut -d' ' -f1
  elif has busybox; then busybox sha256sum <"$1" | cut -d' ' -f1
  else shasum -a 256 <"$1" | cut -d' ' -f1
  fi
}
sha_or_absent() { if [ -f "$1" ]; then sha "$1"; elif [ -e "$1" ] || [ -h "$1" ]; then echo not-a-file; else echo absent; fi; }
is_root() { [ "$(id -u)" = 0 ]; }

# ---- crontab -------------------------------------------------------------------------------
GUARD="* * * * * sh $B/guard.sh >/dev/null 2>&1 # tarsops-guard"
cron_user() { if [ "$(id -un)" = "$T_USER" ] || ! is_root; then crontab "$@"; else crontab -u "$T_USER" "$@"; fi; }
same_crontab() { [ "$(id -un)" = "$T_USER" ] || ! is_root; }
cron_read() { # the run user's crontab without the guard; status 1 where it has none
  c_out=$(cron_user -l 2>/dev/null && echo x) || return 1
  printf '%s' "${c_out%x}" | sed '/# tarsops-guard$/d'
}
cron_sha() { if cron_user -l >/dev/null 2>&1; then cron_read >"$S_DIR/cron.now" && sha "$S_DIR/cron.now"; else echo absent; fi; }
cron_write() { # cron_write FILE|absent: the run user's crontab, the guard kept while it is on
  if [ "$1" = absent ]; then : >"$S_DIR/cron.put"; else cat "$1" >"$S_DIR/cron.put" || return 1; fi
  if [ "$GUARDED" = 1 ] && same_crontab; then printf '%s\n' "$GUARD" >>"$S_DIR/cron.put" || return 1; fi
  if [ -s "$S_DIR/cron.put" ] || [ "$1" != absent ]; then cron_user "$S_DIR/cron.put"
  elif cron_user -l >/dev/null 2>&1; then cron_user -r
  fi
}
guard_on() { # while a change is under way, cron brings `recover` should this process die
  has crontab || return 0
  { crontab -l 2>/dev/null | sed '/# tarsops-guard$/d'; printf '%s\n' "$GUARD"; } >"$S_DIR/guard.put" &&
    crontab "$S_DIR/guard.put" && GUARDED=1
}
guard_off() {
  has crontab || return 0
  GUARDED=0
  crontab -l 2>/dev/null | grep -q '# tarsops-guard$' || return 0
  crontab -l 2>/dev/null | sed '/# tarsops-guard$/d' >"$S_DIR/guard.put" || return 1
  if [ -s "$S_DIR/guard.put" ] || { same_crontab && cron_wanted; }; then crontab "$S_DIR/guard.put"; else crontab -r; fi
}
cron_wanted() { # whether an empty crontab, rather than none, is the right end
  if [ "$OUTCOME" = new ]; then [ "$T_CRON_AFTER" != absent ] && [ "$T_CRON_AFTER" != keep ]; else [ -f "$S_DIR/before/crontab" ]; fi
}

# ---- processes -----------------------------------------------------------------------------
# Processes of the component, one pid a line. The pattern goes in on standard input.
pids() {
  { printf '%s\n' "$T_BIN" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null
    ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F -e "-> $T_BIN" | sed 's|.* /proc/|/proc/|'; } |
    sed 's|^/proc/||; s|/.*||' | sort -un | while read -r p; do
      [ "$p" = "$$" ] && continue
      first=$(tr '\0' '\n' <"/proc/$p/cmdline" 2>/dev/null | head -n 1)
      exe=$(readlink "/proc/$p/exe" 2>/dev/null)
      case "$first|${exe% (deleted)}" in
        "$T_BIN|"* | *"|$T_BIN")
          r=$(stat -L -c '%d:%i' "/proc/$p/root/" 2>/dev/null)
          [ -z "$r" ] || [ "$r" = "$ROOT_ID" ] || continue
          # `--monitor` and the version flags are questions, not the service.
          tr '\0' '\n' <"/proc/$p/cmdline" 2>/dev/null | grep -qxE -e '--(monitor|version|nodeversion|tarsversion)' || echo "$p" ;;
      esac
    done
}
stop_all() {
  w=0
  while p_all=$(pids); [ -n "$p_all" ]; do
    if [ $w -lt "$T_STOP_TICKS" ]; then kill $p_all 2>/dev/null; else kill -9 $p_all 2>/dev/null; fi
    w=$((w + 1)); [ $w -gt $((T_STOP_TICKS + 50)) ] && return 1
    nap
  done
  return 0
}
# Servers that it runs, told by the data folder on their command lines.
server_pids() {
  printf '%s\n' "$T_TARS/$T_COMP/data/" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null | sed 's|^/proc/||; s|/.*||' |
    while read -r p; do
      [ "$p" = "$$" ] && continue
      r=$(stat -L -c '%d:%i' "/proc/$p/root/" 2>/dev/null)
      [ -z "$r" ] || [ "$r" = "$ROOT_ID" ] || continue
      echo "$p"
    done
}
stop_servers() {
  w=0
  while p_all=$(server_pids); [ -n "$p_all" ]; do
    note "stop servers:" $p_all
    if [ $w -lt "$T_STOP_TICKS" ]; then kill $p_all 2>/dev/null; else kill -9 $p_all 2>/dev/null; fi
    w=$((w + 1)); [ $w -gt $((T_STOP_TICKS + 50)) ] && return 1
    nap
  done
  return 0
}
nap() { sleep 0.2 2>/dev/null || sleep 1; }
start_it() {
  [ -f "tars/$T_COMP/util/start.sh" ] || { note "no util/start.sh to start $T_COMP with"; return 1; }
  note "start $T_COMP as $T_USER"
  if is_root && [ "$T_USER" != root ]; then
    if has runuser; then runuser -u "$T_USER" -- sh "$T_TARS/$T_COMP/util/start.sh" </dev/null >/dev/null 2>"$S_DIR/start.err" 9>&-
    else su -s /bin/sh -c "exec sh '$T_TARS/$T_COMP/util/start.sh'" "$T_USER" </dev/null >/dev/null 2>"$S_DIR/start.err" 9>&-
    fi
  else sh "$T_TARS/$T_COMP/util/start.sh" </dev/null >/dev/null 2>"$S_DIR/start.err" 9>&-
  fi
}
# Whether L_IP (`-` for any) and L_PORT listen, in the kernel's spelling; without a port it is not asked.
listens() {
  [ "$L_PORT" != - ] || return 0
  l_hex=$(printf '%04X' "$L_PORT")
  l_ip=$(printf '%s' "$L_IP" | sed -n 's/^\([0-9]*\)\.\([0-9]*\)\.\([0-9]*\)\.\([0-9]*\)$/\4 \3 \2 \1/p')
  if [ -n "$l_ip" ]; then
    # Native byte order of an IPv4 address; `0` is any address.
    l_le=$(printf '%02X%02X%02X%02X' $l_ip)
    l_be=$(set -- $l_ip; printf '%02X%02X%02X%02X' "$4" "$3" "$2" "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE ": (0{8}|0{32}|[0-9A-F]*($l_le|$l_be)):$l_hex [0-9A-F:]* 0A "
  else
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE ":$l_hex [0-9A-F:]* 0A "
  fi
}
# Healthy: one process, of this very file, with this nodeid, of this user, and its port listens.
unhealthy() { # prints what is wrong, fails if nothing is
  h_all=$(pids)
  [ -n "$h_all" ] || { echo "$T_COMP is not running"; return 0; }
  [ "$(printf '%s\n' "$h_all" | wc -l)" -eq 1 ] || { echo "$T_COMP runs more than once: pids" $h_all; return 0; }
  h_a=$(stat -L -c '%d:%i' "/proc/$h_all/exe" 2>/dev/null) h_b=$(stat -L -c '%d:%i' "tars/$T_COMP/bin/$T_COMP" 2>/dev/null)
  [ "$h_a" = "$h_b" ] || { echo "the running $T_COMP (pid $h_all) is not the installed file"; return 0; }
  h_n=$(tr '\0' '\n' <"/proc/$h_all/cmdline" 2>/dev/null | sed -n 's/^--nodeid=//p' | tail -n 1)
  [ "$1" = any ] || [ "$h_n" = "$1" ] || { echo "$T_COMP runs with nodeid ${h_n:-none}, not $1"; return 0; }
  h_u=$(stat -c %U "/proc/$h_all" 2>/dev/null)
  [ "$1" = any ] || [ "$h_u" = "$T_USER" ] || { echo "$T_COMP runs as $h_u, not $T_USER"; return 0; }
  listens || { echo "$T_COMP (pid $h_all) does not listen on its port"; return 0; }
  H_PID=$h_all
  return 1
}
# Waits until it is healthy and stays so, with one pid, for `settle` seconds.
healthy() { # healthy NODEID|any SETTLE DEADLINE
  h_end=$(($(date +%s) + $3)) h_since= h_last=
  while :; do
    h_now=$(date +%s)
    if h_why=$(unhealthy "$1"); then h_since=
    else
      unhealthy "$1" >/dev/null
      if [ -z "$h_since" ] || [ "$h_last" != "$H_PID" ]; then h_since=$h_now h_last=$H_PID; fi
      [ $((h_now - h_since)) -ge "$2" ] && return 0
      h_why="$T_COMP (pid $H_PID) has not held for $2 seconds"
    fi
    [ "$h_now" -lt "$h_end" ] || { WHY=$h_why; note "not healthy: $h_why"; return 1; }
    nap
  done
}

# ---- files ---------------------------------------------------------------------------------
place() { # place SOURCE MODE PATH: a copy of SOURCE under PATH, whole or not at all
  case "$3" in */*) mkdir -p "tars/${3%/*}" || return 1 ;; esac
  rm -f "tars/$3.tarsops-new" && cp "$1" "tars/$3.tarsops-new" && chmod "$2" "tars/$3.tarsops-new" || return 1
  if is_root; then chown "$T_USER:" "tars/$3.tarsops-new" || return 1; fi
  flush "tars/$3.tarsops-new" && mv -f "tars/$3.tarsops-new" "tars/$3"
}
own_all() {
  is_root || return 0
  chown "$T_USER:" tars && chown -R "$T_USER:" "tars/$T_COMP" || return 1
  [ ! -d tars/app_log ] || chown -R "$T_USER:" tars/app_log
}

check_unmoved() { # every fact that the plan rested upon
  if [ "$T_MACHINE_ID" != - ]; then
    m_id=; read -r m_id <"${TARSOPS_MACHINE_ID:-/etc/machine-id}" || :
    [ "$m_id" = "$T_MACHINE_ID" ] || { WHY="this is another machine than the one that was looked at"; return 1; }
  fi
  while read -r f_mode f_before f_after f_path; do
    f_now=$(sha_or_absent "tars/$f_path")
    [ "$f_now" = "$f_before" ] || { WHY="$f_path changed since it was looked at"; return 1; }
    if [ "$f_after" != absent ] && [ "$f_after" != "$f_before" ]; then
      [ "$(sha_or_absent "$B/stage/$f_after")" = "$f_after" ] || { WHY="the staged content of $f_path is missing or damaged"; return 1; }
    fi
  done <"$S_DIR/files"
  if [ "$T_CRON_AFTER" != keep ]; then
    [ "$(cron_sha)" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_USER changed since it was looked at"; return 1; }
    [ "$T_CRON_AFTER" = absent ] || [ "$(sha_or_absent "$B/stage/$T_CRON_AFTER")" = "$T_CRON_AFTER" ] ||
      { WHY="the staged crontab is missing or damaged"; return 1; }
  fi
  if [ "$T_FOLDER" = remove ] || [ "$T_FOLDER" = create ]; then
    if [ -e "tars/$T_COMP" ]; then f_now=present; else f_now=absent; fi
    [ "$T_FOLDER/$f_now" = remove/present ] || [ "$T_FOLDER/$f_now" = create/absent ] ||
      { WHY="the folder of $T_COMP is $f_now"; return 1; }
  fi
}
keep_before() {
  mkdir -p "$S_DIR/before" || return 1
  n=0
  while read -r f_mode f_before f_after f_path; do
    n=$((n + 1))
    [ "$f_before" = absent ] && continue
    stat -c '%a %u:%g' "tars/$f_path" >"$S_DIR/before/$n.meta" || return 1
    [ "$f_before" = "$f_after" ] && continue
    # Own files are never written in place, so a link keeps the old content at no cost. The
    # component writes its configuration itself: that is copied.
    case "$f_path" in
      */bin/*) ln "tars/$f_path" "$S_DIR/before/$n" 2>/dev/null || cp -p "tars/$f_path" "$S_DIR/before/$n" || return 1 ;;
      *) cp -p "tars/$f_path" "$S_DIR/before/$n" || return 1 ;;
    esac
    [ "$(sha "$S_DIR/before/$n")" = "$f_before" ] || return 1
    flush "$S_DIR/before/$n"
  done <"$S_DIR/files"
  if has crontab && cron_user -l >/dev/null 2>&1; then cron_read >"$S_DIR/before/crontab" || return 1; fi
  if [ "$T_OWN" = 1 ] && [ -d "tars/$T_COMP" ]; then
    find tars "tars/$T_COMP" -maxdepth 0 -exec stat -c '%u:%g %n' {} \; >"$S_DIR/before/owners" || return 1
    find "tars/$T_COMP" ! -user "$T_USER" -exec stat -c '%u:%g %n' {} \; >>"$S_DIR/before/owners" || return 1
  fi
  if [ -n "$(pids)" ]; then echo 1; else echo 0; fi >"$S_DIR/before/running"
  if L_IP=- L_PORT=$T_PORT_BEFORE; unhealthy any >/dev/null; then echo 0; else echo 1; fi >"$S_DIR/before/healthy"
  L_IP=$T_IP L_PORT=$T_PORT
  # Room that a full disk cannot take: freed for the way back.
  dd if=/dev/zero of="$S_DIR/before/ballast" bs=1024 count=256 2>/dev/null || return 1
  if [ -d tars ]; then echo 1; else echo 0; fi >"$S_DIR/before/had-tars"
  if [ -d "tars/$T_COMP" ]; then echo 1; else echo 0; fi >"$S_DIR/before/had-folder"
  flush "$S_DIR/before"
}

replace_all() { # replace_all conf: configuration only; '': the rest, and configuration if nothing restarts
  while read -r f_mode f_before f_after f_path; do
    case "$f_path" in
      */conf/*) [ "$1" = conf ] || [ "$T_RESTART" = 0 ] || continue ;;
      *) [ "$1" = '' ] || continue ;;
    esac
    if [ "$f_after" = absent ]; then rm -f "tars/$f_path"
    elif [ "$f_after" = "$f_before" ]; then note "mode $f_mode $f_path"; chmod "$f_mode" "tars/$f_path"
    else note "replace $f_path"; place "$B/stage/$f_after" "$f_mode" "$f_path"
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
    if [ "$T_STOP_SERVERS" = 1 ]; then stop_servers || { WHY="its servers do not stop"; return 1; }; fi
    mv "tars/$T_COMP" "$T_AWAY" || { WHY="could not move the folder of $T_COMP away"; return 1; }
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    [ ! -e "tars/$T_COMP" ] || { WHY="the folder of $T_COMP came back"; return 1; }
    flush tars
    return 0
  fi
  if [ "$T_FOLDER" = create ] && [ -n "$T_BACK_FROM" ]; then
    mv "$T_BACK_FROM" "tars/$T_COMP" || { WHY="could not move the folder of $T_COMP back"; return 1; }
    flush tars
  elif [ "$T_FOLDER" = create ]; then
    mkdir -p "tars/$T_COMP/data" tars/app_log || { WHY="could not make the folder of $T_COMP"; return 1; }
  fi
  replace_all '' || return 1
  if [ -n "$T_OWNERS_FROM" ]; then
    while read -r u_who u_path; do [ ! -e "$u_path" ] || chown "$u_who" "$u_path" || { WHY="could not give $u_path back"; return 1; }; done <"$T_OWNERS_FROM"
  fi
  if [ "$T_OWN" = 1 ]; then own_all || { WHY="could not give the folder to $T_USER"; return 1; }; fi
  flush "tars/$T_COMP"
  if [ "$T_RESTART" = 1 ]; then
    note "stop $T_COMP"
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    # A running tarsnode writes its configuration from memory and would undo an edit made under it.
    replace_all conf || return 1
    # A monitor may have started it meanwhile, with the old configuration.
    stop_all || { WHY="$T_COMP does not stop"; return 1; }
    start_it || { WHY="start.sh of $T_COMP failed: $(tail -n 1 "$S_DIR/start.err" 2>/dev/null)"; return 1; }
  fi
  if [ "$T_HEALTH" = 1 ]; then healthy "$T_NODEID" "$T_SETTLE" "$T_DEADLINE" || return 1; fi
  cron_change || return 1
}
cron_change() {
  [ "$T_CRON_AFTER" = keep ] && return 0
  note "write the crontab of $T_USER"
  if [ "$T_CRON_AFTER" = absent ]; then cron_write absent; else cron_write "$B/stage/$T_CRON_AFTER"; fi ||
    { WHY="could not write the crontab of $T_USER"; return 1; }
}

undo() {
  note "put the old state back"
  rm -f "$S_DIR/before/ballast"
  put_word "$S_DIR/phase" undoing || :
  u_bad=0 L_IP=- L_PORT=$T_PORT_BEFORE
  if [ "$T_FOLDER" = remove ] && [ ! -e "tars/$T_COMP" ] && [ -e "$T_AWAY" ]; then mv "$T_AWAY" "tars/$T_COMP" || u_bad=1; fi
  if [ "$T_FOLDER" = create ] && [ -n "$T_BACK_FROM" ] && [ -e "tars/$T_COMP" ]; then
    stop_all; mv "tars/$T_COMP" "$T_BACK_FROM" || u_bad=1
  fi
  # Whether anything was replaced decides whether the old one must be started anew.
  n=0 u_moved=0
  while read -r f_mode f_before f_after f_path; do
    n=$((n + 1))
    rm -f "tars/$f_path.tarsops-new"
    [ "$T_FOLDER" = keep ] || continue
    if [ "$f_before" = absent ]; then
      if [ -e "tars/$f_path" ]; then rm -f "tars/$f_path" || u_bad=1; u_moved=1; fi
    else
      u_meta=$(cat "$S_DIR/before/$n.meta" 2>/dev/null)
      if [ -f "$S_DIR/before/$n" ] && [ "$(sha_or_absent "tars/$f_path")" != "$f_before" ]; then
        u_moved=1
        case "$f_path" in
          */bin/*) ln "$S_DIR/before/$n" "tars/$f_path.tarsops-new" 2>/dev/null || cp -p "$S_DIR/before/$n" "tars/$f_path.tarsops-new" ;;
          *) cp -p "$S_DIR/before/$n" "tars/$f_path.tarsops-new" ;;
        esac && { flush "tars/$f_path.tarsops-new" && mv -f "tars/$f_path.tarsops-new" "tars/$f_path"; } || u_bad=1
      fi
      if [ -n "$u_meta" ] && [ -e "tars/$f_path" ]; then
        chmod "${u_meta% *}" "tars/$f_path" || u_bad=1
        if is_root; then chown "${u_meta#* }" "tars/$f_path" || u_bad=1; fi
      fi
    fi
  done <"$S_DIR/files"
  if [ "$T_FOLDER" = create ] && [ -z "$T_BACK_FROM" ]; then
    stop_all || u_bad=1
    rm -rf "tars/$T_COMP" || u_bad=1
    if [ "$(cat "$S_DIR/before/had-tars" 2>/dev/null)" = 0 ]; then rmdir tars/app_log tars 2>/dev/null; fi
  fi
  if [ -f "$S_DIR/before/owners" ] && is_root; then
    while read -r u_who u_path; do [ ! -e "$u_path" ] || chown "$u_who" "$u_path" || u_bad=1; done <"$S_DIR/before/owners"
  fi
  if [ "$T_CRON_AFTER" != keep ]; then
    if [ -f "$S_DIR/before/crontab" ]; then cron_write "$S_DIR/before/crontab" || u_bad=1; else cron_write absent || u_bad=1; fi
  fi
  if [ "$(cat "$S_DIR/before/running" 2>/dev/null)" = 1 ] && [ -d "tars/$T_COMP" ]; then
    if [ $u_moved = 1 ] || unhealthy any >/dev/null; then
      # An old state that was unhealthy before is not made worse by a failed start of it.
      stop_all || u_bad=1
      start_it || u_bad=1
    fi
    [ "$(cat "$S_DIR/before/healthy" 2>/dev/null)" != 1 ] || healthy any 2 "$T_UNDO_DEADLINE" || u_bad=1
  fi
  [ $u_bad = 0 ]
}

finish() { # finish WORD TEXT: the verdict, last of all
  guard_off || note "could not take the guard out of the crontab"
  if [ "$1" = stuck ]; then note "stuck: $2"; fi
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$T_RUN" "$T_STEP" "$1" "$T_HOLDER" "$T_SUMMARY" >>"$B/audit.log"
  flush "$B/audit.log"
  if [ "$1" != stuck ]; then
    rm -f "$B/current"
    while read -r f_mode f_before f_after f_path; do case "$f_after" in absent) ;; *) rm -f "$B/stage/$f_after" ;; esac; done <"$S_DIR/files"
    case "$T_CRON_AFTER" in keep | absent) ;; *) rm -f "$B/stage/$T_CRON_AFTER" ;; esac
  fi
  rm -f "$S_DIR/before/ballast" "$S_DIR"/cron.now "$S_DIR"/cron.put "$S_DIR"/guard.put
  put_word "$S_DIR/verdict" "$1
$2"
  note "verdict: $1"
}
refuse() { # nothing was changed
  put_word "$S_DIR/verdict" "refused
$1"
  note "refused: $1"
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
prune() { # the newest runs are kept for `history` and `rollback`
  ls "$B/runs" | sort -r | tail -n +$((T_KEEP + 1)) | while read -r p_run; do
    case "$p_run" in *[!0-9a-f-]* | '') ;; *) rm -rf "$B/runs/$p_run" ;; esac
  done
}
back_or_stuck() { # a failed change: put the old one back, or leave it as the policy says
  if [ "$T_ON_FAILURE" = stop ] && [ "$1" = act ]; then
    OUTCOME=new
    finish failed "$WHY; left as it is, as on_failure: stop says"
    return
  fi
  u_why=$WHY OUTCOME=old
  if undo; then finish rolled-back "$u_why"; else finish stuck "$u_why; and the old state could not be put back whole: ${WHY:-see the log}"; fi
}
interrupted() { trap '' TERM INT HUP; WHY="the change was told to stop by a signal"; back_or_stuck signal; exit 0; }

# ---- main ----------------------------------------------------------------------------------
main() {
  GUARDED=0 OUTCOME=old WHY= H_PID=
  ROOT_ID=$(stat -L -c '%d:%i' / 2>/dev/null)
  T_BIN=$T_TARS/$T_COMP/bin/$T_COMP L_IP=$T_IP L_PORT=$T_PORT
  [ ! -f "$S_DIR/verdict" ] || exit 0
  exec 9>>"$B/lock" || exit 1
  if ! flock -n 9; then
    if [ "$1" = recover ]; then exit 0; fi
    # Who holds it may be a look's short question, so ask again for a while.
    w=0
    while ! flock -n 9; do
      w=$((w + 1)); nap
      owner=; [ -r "$B/lock.owner" ] && read -r owner <"$B/lock.owner"
      # Started twice after a broken connection: the first one goes on.
      [ "$owner" != "$T_RUN $T_STEP" ] || exit 0
      [ $w -lt 25 ] || refuse "another change is at work on this host"
    done
  fi
  printf '%s\n' "$T_RUN $T_STEP" >"$B/lock.owner" || refuse "could not write below $B: no space left or read-only"
  [ ! -f "$S_DIR/verdict" ] || exit 0
  phase=; [ -r "$S_DIR/phase" ] && read -r phase <"$S_DIR/phase"
  if [ "$1" = recover ]; then
    [ -n "$phase" ] || { rm -f "$B/current"; guard_off; refuse "it had not begun when it ended"; }
    GUARDED=1
    trap '' HUP
    note "recover from phase $phase"
    WHY="the change was cut off while $phase"
    if [ "$phase" = done ]; then OUTCOME=new; finish ok "done; its end was cut off"; return; fi
    back_or_stuck recover
    return
  fi
  newest=; [ -r "$B/fence" ] && read -r newest <"$B/fence"
  if [ -n "$newest" ] && [ "$newest" != "$T_RUN" ]; then
    [ "$(printf '%s\n%s\n' "$newest" "$T_RUN" | sort | tail -n 1)" = "$T_RUN" ] ||
      refuse "a newer run, $newest, has been on this host"
  fi
  if [ -r "$B/current" ]; then
    read -r c_run c_step <"$B/current"
    # Begun before and cut off: that is for `recover`.
    [ "$c_run/$c_step" != "$T_RUN/$T_STEP" ] || exit 0
    refuse "the change $c_run/$c_step on this host has not ended"
  fi
  put_word "$B/fence" "$T_RUN" || refuse "could not write below $B: no space left or read-only"
  check_unmoved || { WHY_MOVED=$WHY; put_word "$S_DIR/verdict" "moved
$WHY_MOVED"; note "moved: $WHY_MOVED"; exit 0; }
  keep_before || refuse "could not keep what is there now: no space left or read-only"
  # From here on the host must end this by itself.
  put_word "$B/current" "$T_RUN $T_STEP" || refuse "could not write below $B: no space left or read-only"
  guard_on || { rm -f "$B/current"; guard_off; refuse "could not put the guard into the crontab"; }
  put_word "$S_DIR/phase" acting || { guard_off; rm -f "$B/current"; refuse "could not write below $B: no space left or read-only"; }
  trap interrupted TERM INT
  trap '' HUP
  if act; then
    trap '' TERM INT
    OUTCOME=new
    put_word "$S_DIR/phase" "done" || note "could not write the phase"
    remember
    finish ok "done"
    prune
  else
    trap '' TERM INT
    back_or_stuck act
  fi
}
main "${1:-act}"
