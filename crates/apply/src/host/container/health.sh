# ---- health ----------------------------------------------------------------------------------
# That a container runs says nothing: its first process waits for the database for ever. Healthy is: the
# programs of the image run in it, and listen.

# Processes of the container whose first process is C_PID, as lines `PID PATH`.
container_programs() {
  p_ns=$(readlink "/proc/$C_PID/ns/pid" 2>/dev/null) || return 1
  p_ns=${p_ns#"pid:["}; p_ns=${p_ns%"]"}
  case "$p_ns" in '' | *[!0-9]*) return 1 ;; esac
  # shellcheck disable=SC2012 # links below /proc, which have plain names
  p_all=$(ls -l /proc/[0-9]*/ns/pid 2>/dev/null | sed -n "s|.* /proc/\([0-9]*\)/ns/pid -> pid:\[$p_ns\]\$|/proc/\1/exe|p")
  [ -n "$p_all" ] || return 1
  # shellcheck disable=SC2012,SC2086 # links below /proc, one word each
  ls -l $p_all 2>/dev/null | sed -n 's|.* /proc/\([0-9]*\)/exe -> \(.*\)$|\1 \2|p'
}
# The paths of T_PROGRAMS of which no process is in the list; PROGRAM_PIDS has those of the others.
missing_programs() { # missing_programs LIST PATHS
  PROGRAM_PIDS=''
  while read -r m_path; do
    [ -n "$m_path" ] || continue
    m_pid=
    while read -r m_p m_exe; do [ "$m_exe" != "$m_path" ] || m_pid=$m_p; done <<M_END
$1
M_END
    if [ -n "$m_pid" ]; then PROGRAM_PIDS="$PROGRAM_PIDS$m_pid $m_path$NL"; else printf '%s ' "${m_path##*/}"; fi
  done <<M_END
$2
M_END
}
program_paths() { printf '%s\n' "$T_PROGRAMS" | sed 's/^[0-9a-f]* //'; }
# Digests are compared once for each set of processes.
wrong_program() { # WHY; 1 if all are the image's
  [ "$PROGRAM_PIDS" != "${HASHED:-}" ] || return 1
  while read -r w_want w_path; do
    [ -n "$w_path" ] || continue
    w_pid=$(printf '%s' "$PROGRAM_PIDS" | sed -n "s|^\([0-9]*\) $w_path\$|\1|p")
    { sha "/proc/$w_pid/exe" && [ "$SHA" = "$w_want" ]; } || { WHY="${w_path##*/} in the container is not the program of the image"; return 0; }
  done <<W_END
$T_PROGRAMS
W_END
  HASHED=$PROGRAM_PIDS
  return 1
}
port_missing() { # WHY; 1 if there is a listener at each port in the container's network
  for l_port in $T_PORTS; do
    l_hex=$(printf '%04X' "$l_port")
    grep -qsE ": [0-9A-F]*:$l_hex [0-9A-F:]* 0A " "/proc/$C_PID/net/tcp" "/proc/$C_PID/net/tcp6" || { WHY="nothing listens at port $l_port in the container"; return 0; }
  done
  return 1
}
# 0: it is not healthy yet. 1: it is. 2: it will not be. The engine is asked at first, where the first process has
# ended, and where all programs run; what lies between these is seen without it.
unhealthy() { # unhealthy ID PATHS: WHY
  if [ -z "$H_PID" ] || [ ! -d "/proc/$H_PID" ]; then look_at_state "$1" || return $(($? - 2)); fi
  C_PID=$H_PID
  h_list=$(container_programs) || { WHY="the processes of the container cannot be seen"; H_PID=; return 0; }
  missing_programs "$h_list" "$2" >"$STEP_DIR/missing"
  first_line "$STEP_DIR/missing"
  [ -z "$LINE" ] || { WHY="in the container does not run: $LINE"; return 0; }
  h_pid=$H_PID
  look_at_state "$1" || return $(($? - 2))
  [ "$H_PID" = "$h_pid" ] || { WHY="the container was started again"; return 0; }
  return 1
}
# Sets H_PID. 2: it does not run yet. 4: it will not.
look_at_state() { # look_at_state ID
  H_PID=
  describe "$1"
  case $? in 1) WHY="the container was removed meanwhile"; return 4 ;; 2) return 2 ;; esac
  case "$C_STATE" in
    running) H_PID=$C_PID ENDED=0; return 0 ;;
    # One that a person restarts is down for a moment.
    exited | dead) WHY="the container has ended with status $C_EXIT"; ENDED=$((ENDED + 1)); [ $ENDED -lt 4 ] || return 4 ;;
    *) WHY="the container is $C_STATE" ;;
  esac
  return 2
}
wait_healthy() { # wait_healthy new|old SETTLE DEADLINE
  read_clock; h_end=$((NOW + $3 * 100)) h_since='' h_pids='' HASHED='' ENDED=0 H_PID=
  if [ "$1" = new ]; then h_id=$NEW_ID h_paths=$(program_paths); else h_id=$T_OLD h_paths=$(cat "$STEP_DIR/before/programs"); fi
  while :; do
    unhealthy "$h_id" "$h_paths" && h_now=0 || h_now=$?
    [ "$h_now" != 2 ] || return 1
    if [ "$h_now/$1" = 1/new ]; then
      if wrong_program || port_missing; then h_now=0
      elif [ -n "$T_OLD" ] && describe "$T_OLD" && [ "$C_STATE" = running ]; then
        WHY="somebody has started the old container beside the new one"; return 1
      fi
    fi
    read_clock
    if [ "$h_now" = 0 ]; then h_since=
    else
      if [ -z "$h_since" ] || [ "$h_pids" != "$PROGRAM_PIDS" ]; then h_since=$NOW h_pids=$PROGRAM_PIDS; fi
      [ "$NOW" -lt $((h_since + $2 * 100)) ] || return 0
      WHY="the container has not held for $2 seconds"
    fi
    [ "$NOW" -lt $h_end ] || return 1
    nap 0.3
  done
}

