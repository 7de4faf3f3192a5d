# ---- processes -----------------------------------------------------------------------------
# Which processes are the component's, and how it is stopped and started.

# Processes of a container on this host have another root, and are not ours.
in_our_root() { # in_our_root PID
  # shellcheck disable=SC3013 # a shell that does not know it does not get here
  [ ! -e "/proc/$1/root/" ] || [ "/proc/$1/root/" -ef / ]
}
# A pid is used again; with its start time it is not.
process_identity() { # process_identity PID: in IDENTITY, PID:START-TIME, empty where there is none
  IDENTITY='' b_all=; { read -r b_all <"/proc/$1/stat"; } 2>/dev/null || return 0
  # shellcheck disable=SC2086 # the fields
  set -- "$1" ${b_all##*) }
  [ $# -lt 21 ] || IDENTITY=$1:${21}
}
# This runs many times while a process ends and another one starts, and it must be quicker than a monitor.
# So it starts as few programs as it can: KNOWN_ID, KNOWN_LINE and KNOWN_ARGS are the process that was asked last, with
# what ls(1) has said of it.
# PIDS are the component's processes. PROCESS_ARGS and PROCESS_UID are the arguments and the user of the last one.
find_processes() {
  PIDS='' PROCESS_ARGS='' PROCESS_UID='' p_seen=' '
  # shellcheck disable=SC2012 # the links are asked for, not the names
  p_lines=$(ls -ln /proc/[0-9]*/exe 2>/dev/null)
  # Only root can read what programs others run.
  [ $IS_ROOT = 1 ] || p_lines="$p_lines$NL$(with_words "$T_BIN")"
  # Each line is one word.
  p_ifs=$IFS; set -f; IFS=$NL
  # shellcheck disable=SC2086 # the lines
  set -- $p_lines
  IFS=$p_ifs; set +f
  for p_line; do
    # A line of ls, `… /proc/PID/exe -> FILE`, or the name of a file below /proc.
    case "$p_line" in /proc/[0-9]*/cmdline | *" /proc/"[0-9]*"/exe -> ${REAL_PROGRAM%/*}/"*) ;; *) continue ;; esac
    p=${p_line#*/proc/}; p=${p%%/*}
    case "$p_seen" in *" $p "*) continue ;; esac
    p_seen="$p_seen$p "
    [ "$p" != "$$" ] && ours "$p" || continue
    p_uid=$O_UID
    process_identity "$p"
    if [ -n "$IDENTITY" ] && [ "$IDENTITY $p_line" = "$KNOWN_ID $KNOWN_LINE" ]; then
      PIDS="$PIDS $p" PROCESS_ARGS=$KNOWN_ARGS PROCESS_UID=$p_uid
      continue
    fi
    p_args=$(tr '\0' '\n' 2>/dev/null <"/proc/$p/cmdline")
    # With --monitor or a version flag the program only answers a question.
    case "$p_args$NL" in *"$NL"--monitor"$NL"* | *"$NL"--version"$NL"* | *"$NL"--nodeversion"$NL"* | *"$NL"--tarsversion"$NL"*) continue ;; esac
    # A path may contain line ends, so a line proves nothing. The link of this very process does.
    p_exe=$(readlink "/proc/$p/exe" 2>/dev/null)
    case "${p_exe% (deleted)}|$IS_ROOT/$p_uid|${p_args%%"$NL"*}" in
      # Who is not root cannot read what root runs, and believes the command line.
      "$REAL_PROGRAM|"* | "|0/0|$T_BIN")
        in_our_root "$p" || continue
        PIDS="$PIDS $p" PROCESS_ARGS=$p_args PROCESS_UID=$p_uid
        KNOWN_ID=$IDENTITY KNOWN_LINE=$p_line KNOWN_ARGS=$p_args ;;
    esac
  done
}
# A signal is sent with the rights of the process's own user, as the pid may have a new owner by then.
signal() { # signal SIGNAL PID…
  k_name=$1; shift
  for k_p in "$@"; do
    ours "$k_p" || continue
    # A link could lead to a program of root that is no part of this installation.
    [ "$O_UID" != 0 ] || [ -z "$PROGRAM_UNSAFE" ] || continue
    if [ "$IS_ROOT" = 1 ] && [ "$O_UID" = "$AS_UID" ] && [ "$O_UID" != 0 ]; then as_user 20 sh -c "kill -$k_name $k_p" 2>/dev/null
    elif [ "$IS_ROOT" = 1 ] && [ "$O_UID" != 0 ]; then
      ( use_rights_of "$O_UID" "$O_GID"; as_user 20 sh -c "kill -$k_name $k_p" 2>/dev/null )
    else kill "-$k_name" "$k_p" 2>/dev/null
    fi
  done
}
# PIDS are the servers that it runs. They have its data folder on their command lines.
find_servers() {
  PIDS=
  for p in $(with_words "$T_TARS/$T_COMP/data/" | sed 's|^/proc/||; s|/.*||'); do
    [ "$p" != "$$" ] && ours "$p" && in_our_root "$p" && PIDS="$PIDS $p"
  done
}
stop_component() { stop find_processes; }
# Each process gets one SIGTERM, and SIGKILL if it has not ended in time.
stop() { # stop find_processes|find_servers
  read_clock; w_end=$((NOW + T_STOP_TICKS * 20)) w_told='' w_nap=0.05
  # shellcheck disable=SC2086 # PIDS are words
  while "$1"; [ -n "$PIDS" ]; do
    read_clock
    if [ $NOW -gt $((w_end + 1000)) ]; then return 1
    elif [ $NOW -gt $w_end ]; then signal KILL $PIDS
    elif [ "$PIDS" != "$w_told" ]; then signal TERM $PIDS; w_told=$PIDS
    fi
    nap $w_nap
    # As long as all of them are there, another look would find the same.
    w_turns=0
    # shellcheck disable=SC2086 # as above
    while [ $w_turns -lt 8 ] && all_alive $PIDS; do nap 0.1; w_turns=$((w_turns + 1)); done
    w_nap=0.1
  done
  return 0
}
all_alive() { # all_alive PID…: whether each of them is there and has not ended
  for l_p; do
    l_all=; { read -r l_all <"/proc/$l_p/stat"; } 2>/dev/null
    case "${l_all##*) }" in '' | [ZX]*) return 1 ;; esac
  done
}
# Stops the component and runs FUNCTION, which changes its configuration, while it is down. If a monitor
# starts it in between, it has the old configuration and would write that back. Then all is done again.
stop_and() { # stop_and FUNCTION WORD…
  for _ in 1 2 3; do
    stop_component || { WHY="$T_COMP does not stop"; return 1; }
    "$@" || return 1
    find_processes; [ -n "$PIDS" ] || return 0
  done
  stop_component || { WHY="$T_COMP does not stop"; return 1; }
}
# start_component starts it as START_UID and START_USER. START_AS_BEFORE is 1 if it gets the environment of the
# process that ran before the change.
start_as_planned() { START_UID=$T_UID START_USER=$T_USER START_AS_BEFORE=0; set_error_file "$START_UID"; }
# The file for the errors of start.sh: one that this user can write.
set_error_file() { # set_error_file UID
  START_ERRORS=$STEP_DIR/start.err
  [ $IS_ROOT = 0 ] || [ "$1" = 0 ] || START_ERRORS=tars/$T_COMP/.tarsops-start.err
}
# The old state is started as it ran: by the same user, from files that have their old owners.
start_as_before() {
  start_as_planned; START_AS_BEFORE=1
  [ -n "$OLD_UID" ] && [ "$OLD_UID" != "$T_UID" ] || return 0
  START_UID=$OLD_UID
  START_USER=$(user_name "$OLD_UID")
  [ -n "$START_USER" ] || { undo_failed "$T_COMP ran as uid $OLD_UID, and there is no user of that number any more"; return 1; }
  set_error_file "$START_UID"
  restore_owners "$STEP_DIR/before" || { undo_failed "could not give the folder back to its owners${WHY:+: $WHY}"; return 1; }
  OWNERS_RESTORED=1
}
# Root does not run files that another user owned meanwhile, unless root owns all of them again.
check_root_owns_all() {
  [ -z "$(find "tars/$T_COMP/bin" "tars/$T_COMP/util" "tars/$T_COMP/conf" -xdev ! -user 0 2>/dev/null | head -c 1)" ] ||
    { WHY="$T_COMP ran as root, and files of it have been changed by another user meanwhile: give them to root once you have seen what they are"; return 1; }
}
cannot_start_as_root() { WHY="$T_COMP runs as root, and $(id -un "$COMPONENT_UID" 2>/dev/null || echo "uid $COMPONENT_UID") can change it: give its folder to root, or let it run as that user"; }
can_start() { # whether its start script is there, or is part of this change
  [ "$T_FOLDER" = keep ] && [ ! -f "tars/$T_COMP/util/start.sh" ] || return 0
  # A published server has a program and no scripts; its tarsnode starts it.
  [ "$T_COMP" = tarsnode ] || [ -e "tars/$T_COMP/util" ] || return 0
  while read -r f_mode f_before f_after f_path; do
    case "$f_path/$f_after" in */util/start.sh/absent) ;; */util/start.sh/*) return 0 ;; esac
  done <"$STEP_DIR/files"
  return 1
}
start_component() {
  if [ $IS_ROOT = 1 ] && [ "$START_UID" = 0 ] && [ -n "$COMPONENT_UID" ]; then
    cannot_start_as_root; return 1
  fi
  if [ $IS_ROOT = 1 ] && [ "$START_UID" = 0 ] && [ "$START_AS_BEFORE$T_OWNERS_FROM" != 0 ]; then check_root_owns_all || return 1; fi
  # A published server has a program and no scripts; its tarsnode starts it.
  if [ "$T_COMP" != tarsnode ] && [ ! -e "tars/$T_COMP/util" ]; then note "its tarsnode starts $T_COMP"; return 0; fi
  [ -f "tars/$T_COMP/util/start.sh" ] || { WHY="there is no util/start.sh to start $T_COMP with"; return 1; }
  note "start $T_COMP as $START_USER"
  # In the background, as a start script may never return. It inherits neither the lock, nor our locale,
  # nor an ignored signal.
  b_env=/dev/null; [ "$START_AS_BEFORE" = 0 ] || [ ! -s "$STEP_DIR/before/environ" ] || ! has xargs || b_env=$STEP_DIR/before/environ
  # If the user is another one than we are, that user opens the file for the errors, as the component
  # keeps it open.
  # shellcheck disable=SC2094 # b_env is never written
  ( unset LC_ALL
    set -- sh "$T_TARS/$T_COMP/util/start.sh"
    # xargs passes the environment on word by word, whatever the words contain.
    # shellcheck disable=SC2016 # for the shell that is started
    [ "$b_env" = /dev/null ] || set -- xargs -0 sh -c 'exec env -i "$@" sh "$0"' "$2"
    if [ $IS_ROOT = 0 ] || [ "$START_UID" = 0 ]; then exec "$@" 2>"$STEP_DIR/start.err"; fi
    # A shell ends if exec cannot open a file, so this is tried before.
    # shellcheck disable=SC2016 # for the shell that is started
    set -- sh -c '{ true >>"$0"; } 2>/dev/null && exec 2>"$0" || exec 2>/dev/null; exec "$@"' "$START_ERRORS" "$@"
    # runuser may be there and not work.
    if runuser -u "$START_USER" -- true </dev/null 2>/dev/null; then exec runuser -u "$START_USER" -- "$@"
    else exec su -s /bin/sh -c 'exec "$@"' -- "$START_USER" sh "$@"
    fi ) <"$b_env" >/dev/null 2>/dev/null 9>&- &
  s_pid=$!
  read_clock; s_end=$((NOW + 2000)) s_nap=0.05
  while { read -r s_line <"/proc/$s_pid/stat"; } 2>/dev/null; do
    case "${s_line##*) }" in Z*) break ;; esac
    read_clock
    [ $NOW -lt $s_end ] || { note "start.sh does not return; going on without it"; return 0; }
    nap $s_nap; s_nap=0.1
  done
  wait "$s_pid"
}
