
# ---- what runs the console -------------------------------------------------------------------
# With the rights and the plain environment of the console's user, and without our lock.
as_console() { # as_console SECONDS PROGRAM WORD…
  c_limit=$1; shift
  set -- "$c_limit" env -i "PATH=${T_NODE%/*}:$PATH" "HOME=$C_HOME" "USER=$T_USER" "LOGNAME=$T_USER" LANG=C.UTF-8 "PM2_HOME=${PM2_DIR:-$C_HOME/.pm2}" PM2_DISCRETE_MODE=true "$@"
  if [ "$C_UID" = "$S_UID" ]; then bounded "$@" 9>&-
  else AS_UID=$C_UID AS_GID=$C_GID; ID_UID=$C_UID ID_NAME=$T_USER; as_user "$@"
  fi
}
# Processes of the console that work in a folder: of its user, and of no container, which may have a folder of
# the same name.
console_pids() { # console_pids FOLDER: in PIDS
  PIDS=
  inode "$1" || return 0
  UIDS=$C_UID
  # shellcheck disable=SC2012 # links below /proc, which have plain names
  c_all=$(ls -l /proc/[0-9]*/cwd 2>/dev/null)
  while IFS= read -r c_line; do
    case "$c_line" in *"/cwd -> $1") ;; *) continue ;; esac
    c_pid=${c_line%%/cwd -> *}; c_pid=${c_pid##*/}
    [ "$(stat -L -c '%d:%i' "/proc/$c_pid/cwd" 2>/dev/null)" = "$INODE" ] && is_console "$c_pid" || continue
    PIDS="$PIDS $c_pid"
  done <<C_END
$c_all
C_END
  PIDS=${PIDS# }
}
is_console() { # is_console PID
  ours "$1" || { [ -n "$O_OTHER" ] && OTHER_UID=$O_OTHER; return 1; }
  case "$(readlink "/proc/$1/exe" 2>/dev/null)" in */node | */nodejs) ;; *) return 1 ;; esac
  case "$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline")" in *bin/www*) ;; *) return 1 ;; esac
}
parent_of() { # parent_of PID: in PPID_OF
  PPID_OF=; { while read -r p_key p_value; do [ "$p_key" != PPid: ] || { PPID_OF=$p_value; break; }; done <"/proc/$1/status"; } 2>/dev/null
}

# PM2. Its daemon says in its title where its folder is.
find_daemon() { # find_daemon [PID OF THE CONSOLE]: DAEMON and PM2_DIR; 1 where none of the console's user runs
  DAEMON=
  UIDS=$C_UID
  # shellcheck disable=SC2013 # names below /proc are words
  for d_file in $(grep -lsF 'God Daemon (' /proc/[0-9]*/cmdline); do
    d_pid=${d_file#/proc/}; d_pid=${d_pid%%/*}
    ours "$d_pid" || continue
    d_title=$(tr '\0' ' ' 2>/dev/null <"$d_file")
    case "$d_title" in 'PM2 '*'God Daemon ('/*')'*) ;; *) continue ;; esac
    d_dir=${d_title#*God Daemon (}; d_dir=${d_dir%%)*}
    if [ -n "${1:-}" ]; then parent_of "$1"; [ "$PPID_OF" = "$d_pid" ] || continue; fi
    # The one whose list has the console was found before the change.
    [ -z "$PM2_DIR" ] || [ "$PM2_DIR" = "$d_dir" ] || continue
    [ -z "$DAEMON" ] || { WHY="two daemons of PM2 run as $T_USER, and which one has the console cannot be seen"; return 2; }
    DAEMON=$d_pid D_DIR=$d_dir
  done
  [ -n "$DAEMON" ] || return 1
  PM2_DIR=$D_DIR
}
find_pm2() { # in PM2
  PM2=
  for f_path in "$T_PM2" "${T_NODE%/*}/pm2" "$(command -v pm2 2>/dev/null)"; do
    [ -n "$f_path" ] && [ -f "$f_path" ] && { PM2=$f_path; return 0; }
  done
  WHY="the host has no program pm2 beside $T_NODE or in the PATH: install it there"
  return 1
}
run_pm2() { as_console "$1" "$T_NODE" "$PM2" "$2" ${3:+"$3"} ${4:+"$4"} </dev/null; }
# Of the first line that is a list; banners may stand before it.
PM2_READ='const l=require("fs").readFileSync(0,"utf8").split("\n").find(l=>l.startsWith("[{")||l==="[]");
for(const p of JSON.parse(l)){const e=p.pm2_env;if(p.name===process.argv[1]||e.pm_cwd===process.argv[2])console.log([p.pm_id,e.status,e.pm_exec_path].join(" "))}'
# E_ID, E_STATUS, E_PATH. 1: no entry. 2: that cannot be known. 3: no daemon runs.
pm2_entry() {
  E_ID='' E_STATUS='' E_PATH=
  find_daemon '' || { [ $? = 2 ] && return 2; return 3; }
  e_all=$(run_pm2 30 jlist 2>/dev/null | "$T_NODE" -e "$PM2_READ" "$T_PM2_NAME" "$T_WEB" 2>/dev/null && echo x) || { WHY="PM2 gives no list of its processes"; return 2; }
  e_all=${e_all%x}
  [ -n "$e_all" ] || return 1
  case "${e_all%"$NL"}" in *"$NL"*) WHY="PM2 has two processes for the console: remove one (pm2 delete)"; return 2 ;; esac
  read -r E_ID E_STATUS E_PATH <<E_END
$e_all
E_END
}
pm2_stop() {
  pm2_entry
  case $? in 1 | 3) return 0 ;; 2) return 1 ;; esac
  [ "$E_STATUS" != stopped ] || return 0
  run_pm2 60 stop "$E_ID" >/dev/null 2>&1
  pm2_entry
  case $?/$E_STATUS in 0/stopped | 0/errored | 1/* | 3/*) return 0 ;; esac
  WHY="PM2 does not stop the console: it is ${E_STATUS:-unknown}"
  return 1
}
pm2_start() {
  pm2_entry
  case $? in
    0) [ "$E_STATUS" = online ] || run_pm2 60 restart "$E_ID" >/dev/null 2>&1 ;;
    2) return 1 ;;
    *) ( cd "$T_WEB" && run_pm2 60 start bin/www "--name=$T_PM2_NAME" >/dev/null 2>&1 ) ;;
  esac
  pm2_entry || { WHY="PM2 has no process for the console after it was started"; return 1; }
}
# What `pm2 resurrect` would start is replaced only by a list that has all of it.
PM2_LACKS='const f=require("fs");const l=f.readFileSync(0,"utf8").split("\n").find(l=>l.startsWith("[{")||l==="[]");
let d=[];try{d=JSON.parse(f.readFileSync(process.argv[1],"utf8"))}catch(e){if(e.code!=="ENOENT")throw e}
const n=JSON.parse(l).map(p=>p.name);console.log(d.map(p=>p.name).filter(x=>!n.includes(x)&&x!==process.argv[2]).join(" "))'
pm2_save() {
  find_daemon '' || return 0
  s_lacks=$(run_pm2 30 jlist 2>/dev/null | "$T_NODE" -e "$PM2_LACKS" "$PM2_DIR/dump.pm2" "$T_PM2_NAME" 2>/dev/null) || { note "PM2's list was not saved: it cannot be read"; return 0; }
  [ -z "$s_lacks" ] || { note "PM2's list was not saved, as it lacks what was saved before: $s_lacks"; return 0; }
  run_pm2 30 save --force >/dev/null 2>&1 || note "pm2 save failed"
}

# systemd.
sd() { # sd WORD…
  bounded 90 systemctl "$@" </dev/null 2>"$STEP_DIR/systemctl.err" 9>&-
}
sd_failed() { WHY="$1: $(tail -n 1 "$STEP_DIR/systemctl.err")"; }
unit_pid() { U_PID=$(sd show -p MainPID --value "$T_UNIT") && [ -n "$U_PID" ] && [ "$U_PID" != 0 ]; }
put_unit() { # put_unit TEXT
  printf '%s' "$1" >"$UNIT_FILE.tarsops-new" && chmod 644 "$UNIT_FILE.tarsops-new" && flush "$UNIT_FILE.tarsops-new" && mv -f "$UNIT_FILE.tarsops-new" "$UNIT_FILE" && flush "${UNIT_FILE%/*}" &&
    sd daemon-reload && return 0
  rm -f "$UNIT_FILE.tarsops-new"
  sd_failed "the unit $T_UNIT could not be written"
  return 1
}
remove_unit() {
  [ -e "$UNIT_FILE" ] || return 0
  sd disable "$T_UNIT" || { sd_failed "the unit $T_UNIT could not be disabled"; return 1; }
  rm -f "$UNIT_FILE" && flush "${UNIT_FILE%/*}" && sd daemon-reload || { sd_failed "the unit $T_UNIT could not be removed"; return 1; }
}
UNIT_FILE=/etc/systemd/system/$T_UNIT
unit_is_ours() { first_line "$UNIT_FILE"; [ "$LINE" = "# tarsops: cluster $T_CLUSTER" ]; }

# The console is stopped and started in these two places only.
stop_console() { # stop_console FOLDER SUPERVISOR…
  s_dir=$1; shift
  for s_word; do
    case "$s_word" in
      pm2) find_pm2 && pm2_stop || return 1 ;;
      systemd) [ ! -e "$UNIT_FILE" ] || sd stop "$T_UNIT" || { sd_failed "the unit $T_UNIT could not be stopped"; return 1; } ;;
    esac
  done
  # What nobody supervises, and what a supervisor has left.
  read_clock; s_end=$((NOW + T_STOP * 100)) s_signal=TERM
  while console_pids "$s_dir"; [ -n "$PIDS" ]; do
    for s_pid in $PIDS; do as_console 10 sh -c "kill -$s_signal $s_pid" 2>/dev/null; done
    read_clock
    [ "$NOW" -lt $s_end ] || { [ $s_signal = TERM ] || { WHY="the console does not end: pid $PIDS"; return 1; }; s_signal=KILL s_end=$((NOW + 1000)); }
    nap 0.1
  done
}
start_console() { # start_console SUPERVISOR
  case "$1" in
    pm2) find_pm2 && pm2_start ;;
    systemd) sd start "$T_UNIT" || { sd_failed "the unit $T_UNIT could not be started"; return 1; } ;;
    none)
      console_pids "$T_WEB"
      [ -z "$PIDS" ] || return 0
      # shellcheck disable=SC2016 # the inner shell expands it, and opens the log with the rights of the user
      ( cd "$T_WEB" && as_console 30 sh -c 'mkdir -p log; setsid "$@" </dev/null >>log/console.out 2>&1 & echo' sh "$T_NODE" bin/www >/dev/null ) || { WHY="the console could not be started"; return 1; } ;;
  esac
}
# What starts it together with the host, in REBOOT: systemd, pm2, cron or nothing; unknown where that cannot be read.
find_reboot() {
  REBOOT=nothing
  case "$T_SUPERVISOR" in
    systemd) ! sd is-enabled "$T_UNIT" >/dev/null || REBOOT=systemd ;;
    pm2)
      # `pm2 startup` makes a unit or a script of this name.
      if has systemctl && sd is-enabled "pm2-$T_USER" >/dev/null; then REBOOT=pm2
      elif [ -x "/etc/init.d/pm2-$T_USER" ]; then REBOOT=pm2
      elif ! has crontab; then :
      elif f_cron=$(if [ "$C_UID" = "$S_UID" ]; then crontab -l; else crontab -u "$T_USER" -l; fi 2>&1); then
        case "$NL$f_cron" in *"$NL@reboot"*pm2*) REBOOT=cron ;; esac
      elif ! no_crontab "$f_cron"; then REBOOT=unknown
      fi ;;
  esac
}
