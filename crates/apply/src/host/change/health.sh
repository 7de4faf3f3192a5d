# ---- health check --------------------------------------------------------------------------
# Healthy is: one process, which runs the installed file, with the right node ID, as the run user, and
# listens on its port.

# Whether somebody listens on LISTEN_IP (`-` for any address) and LISTEN_PORT; yes if there is no port.
listens() {
  [ "$LISTEN_PORT" != - ] || return 0
  # ss(1) asks the kernel for those that listen; the kernel's text has every connection first.
  if has ss && l_all=$(ss -Hltn "sport = :$LISTEN_PORT" 2>/dev/null); then
    case "$LISTEN_IP" in *[!0-9.]* | -) [ -n "$l_all" ]; return ;; esac
    # An address may have its interface behind it, `%eth0`.
    case "$l_all" in
      *" $LISTEN_IP:$LISTEN_PORT "* | *" $LISTEN_IP%"* | *" [::ffff:$LISTEN_IP]:$LISTEN_PORT "* | *" ::ffff:$LISTEN_IP:$LISTEN_PORT "*) return 0 ;;
      *" 0.0.0.0:$LISTEN_PORT "* | *" 0.0.0.0%"* | *" *:$LISTEN_PORT "* | *" *%"* | *" [::]:$LISTEN_PORT "* | *" [::]%"* | *" :::$LISTEN_PORT "*) return 0 ;;
    esac
    return 1
  fi
  # The kernel writes both in hexadecimal.
  l_hex=$(printf '%04X' "$LISTEN_PORT") l_any=
  case "$LISTEN_IP" in
    *[!0-9.]* | -) l_any='[0-9A-F]*' ;;
    *) # An IPv4 address in this machine's byte order; zeros are any address.
      l_ifs=$IFS; IFS=.
      # shellcheck disable=SC2086 # the four numbers
      set -- $LISTEN_IP
      IFS=$l_ifs
      l_any=$(printf '(0{8}|0{32}|[0-9A-F]*(%02X%02X%02X%02X|%02X%02X%02X%02X))' "$4" "$3" "$2" "$1" "$1" "$2" "$3" "$4") ;;
  esac
  grep -qsE ": $l_any:$l_hex [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6
}
# REAL_PROGRAM is the real path of the program. PROGRAM_UNSAFE says how another user than root could change
# what that path leads to, and is empty if nobody can.
resolve_links() {
  r_bin=tars/$T_COMP/bin/$T_COMP
  REAL_PROGRAM=$REAL_INSTALL/$r_bin PROGRAM_UNSAFE=
  if [ -h tars ] || [ -h "tars/$T_COMP" ] || [ -h "tars/$T_COMP/bin" ]; then
    # A folder that is missing will be made below the one that is there.
    for r_dir in "tars/$T_COMP/bin" "tars/$T_COMP" tars; do
      [ -d "$r_dir" ] || continue
      r_at=$(cd -P "$r_dir" && pwd -P) && REAL_PROGRAM=$r_at${r_bin#"$r_dir"}
      break
    done
  elif [ "$REAL_INSTALL" = "$T_INSTALL" ]; then return 0
  fi
  [ $IS_ROOT = 0 ] || trusted "$T_INSTALL/tars/$T_COMP/bin" || PROGRAM_UNSAFE=$UNSAFE
}
unhealthy() { # unhealthy NODEID|any: WHY says what is wrong; 1, with HEALTHY_PID, if it is healthy
  find_processes; HEALTHY_PID=${PIDS# }
  case "$HEALTHY_PID" in
    '') WHY="$T_COMP is not running"; return 0 ;;
    # A component that cannot listen is often started twice, by us and by tarsnode. Both are reported.
    *' '*) WHY="$T_COMP runs more than once: pids $HEALTHY_PID"
      listens || WHY="$WHY, and does not listen on its port"
      return 0 ;;
  esac
  # shellcheck disable=SC3013 # a shell that does not know it does not get here
  [ "/proc/$HEALTHY_PID/exe" -ef "tars/$T_COMP/bin/$T_COMP" ] || { WHY="the running $T_COMP (pid $HEALTHY_PID) is not the installed file"; return 0; }
  if [ "$1" != any ]; then
    h_n=
    case "$NL$PROCESS_ARGS" in *"$NL--nodeid="*) h_n=${PROCESS_ARGS##*"$NL--nodeid="}; h_n=${h_n%%"$NL"*} ;; esac
    [ "$h_n" = "$1" ] || { WHY="$T_COMP runs with nodeid ${h_n:-none}, not $1"; return 0; }
    [ "$PROCESS_UID" = "$T_UID" ] || { WHY="$T_COMP runs as $(id -un "$PROCESS_UID" 2>/dev/null || echo "uid $PROCESS_UID"), not $T_USER"; return 0; }
  fi
  listens || { WHY="$T_COMP (pid $HEALTHY_PID) does not listen on its port"; return 0; }
  return 1
}
# Waits until it is healthy and has stayed so, with one pid, for SETTLE seconds.
wait_healthy() { # wait_healthy NODEID|any SETTLE DEADLINE
  read_clock; h_end=$((NOW + $3 * 100)) h_since='' h_last=
  while :; do
    if unhealthy "$1"; then h_since='' h_nap=0.2; read_clock
    else
      read_clock
      if [ -z "$h_since" ] || [ "$h_last" != "$HEALTHY_PID" ]; then h_since=$NOW h_last=$HEALTHY_PID; fi
      h_left=$((h_since + $2 * 100 - NOW))
      [ $h_left -gt 0 ] || return 0
      WHY="$T_COMP (pid $HEALTHY_PID) has not held for $2 seconds"
      # Each check only confirms the one before.
      if [ $h_left -ge 100 ]; then h_nap=1; elif [ $h_left -ge 10 ]; then h_nap=0.$h_left; else h_nap=0.1; fi
    fi
    if [ "$NOW" -ge $h_end ]; then
      note "not healthy: $WHY"
      start_errors 3
      return 1
    fi
    nap $h_nap
  done
}

