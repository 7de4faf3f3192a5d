# ---- the engine ------------------------------------------------------------------------------
# Its program ends with 1 where something is absent, where the engine is down and where we have no right.
# So its status alone says nothing about what is there.
engine() { # engine SECONDS WORD…
  e_limit=$1; shift
  bounded "$e_limit" docker -H "unix://$T_SOCKET" "$@" </dev/null 2>"$STEP_DIR/docker.err"
}
# What the engine itself said, or else the last words of its program.
engine_error() {
  e_said=$(sed -n 's/^Error response from daemon: //p' "$STEP_DIR/docker.err" 2>/dev/null | head -n 1)
  if [ -n "$e_said" ]; then printf '%s\n' "$e_said"; else tail -n 1 "$STEP_DIR/docker.err" 2>/dev/null; fi
}
engine_failed() { WHY="$1: $(engine_error)"; }
# Whether the engine answers; WHY says what is wrong, each fault in words of its own.
check_engine() {
  has docker || { WHY="the host has no program docker: install it there, with the engine"; return 1; }
  [ -S "$T_SOCKET" ] || { WHY="no engine listens at $T_SOCKET: start it there (systemctl start docker)"; return 1; }
  [ -w "$T_SOCKET" ] || { WHY="$(id -un) has no right on $T_SOCKET: use become: sudo, or the group of the socket"; return 1; }
  engine 30 version --format '{{.Server.Version}}' >/dev/null || { engine_failed "the engine at $T_SOCKET does not answer"; return 1; }
}
wait_engine() { # wait_engine SECONDS
  read_clock; e_end=$((NOW + $1 * 100))
  until check_engine; do
    read_clock
    [ "$NOW" -lt $e_end ] || return 1
    nap 0.5
  done
}
# All that this script asks of a container, one line each.
FIELDS='{{println .Id}}{{println .Name}}{{println .Image}}{{println .State.Status}}{{println .State.Pid}}{{println .State.StartedAt}}{{println .HostConfig.RestartPolicy.Name}}{{println .HostConfig.RestartPolicy.MaximumRetryCount}}{{println .HostConfig.AutoRemove}}{{println .State.ExitCode}}{{with index .Config.Labels "tarsops.cluster"}}{{.}}{{end}}{{println}}'
# Sets C_* of a container. 1: the engine has none of that name or id. 2: that cannot be known.
describe() { # describe NAME|ID
  C_ID='' C_NAME='' C_IMAGE='' C_STATE='' C_PID='' C_STARTED='' C_POLICY='' C_REMOVED='' C_EXIT='' C_CLUSTER=''
  if d_all=$(engine 30 inspect --type container --format "$FIELDS" "$1"); then
    { read -r C_ID; read -r C_NAME; read -r C_IMAGE; read -r C_STATE; read -r C_PID; read -r C_STARTED; read -r C_POLICY
      read -r d_tries; read -r C_REMOVED; read -r C_EXIT; read -r C_CLUSTER; } <<D_END
$d_all
D_END
    C_NAME=${C_NAME#/}
    [ -n "$C_POLICY" ] || C_POLICY=no
    [ "$C_POLICY/$d_tries" = on-failure/0 ] || [ "$C_POLICY" != on-failure ] || C_POLICY=on-failure:$d_tries
    # The engine takes the beginning of an id as well.
    [ "$C_NAME" != "$1" ] && [ "$C_ID" != "$1" ] || return 0
  fi
  d_all=$(engine 30 ps -a --no-trunc --format '{{.ID}} {{.Names}}') || { engine_failed "the engine gives no list of its containers"; return 2; }
  while read -r d_id d_names; do
    # A container with links has further names.
    case "$d_id,$d_names," in "$1",* | *",$1,"*) WHY="the container $1 cannot be looked at"; return 2 ;; esac
  done <<D_END
$d_all
D_END
  return 1
}
# Whether a start of it may drop the framework's databases: the variable REBUILD is there and not `false`. Also
# where that cannot be known. WHY says it.
may_drop() { # may_drop container|image NAME|ID
  r_env=$(engine 30 inspect --type "$1" --format '{{range .Config.Env}}{{println .}}{{end}}' "$2") || { engine_failed "the environment of the $1 $2 cannot be read"; return 0; }
  while IFS= read -r r_line; do
    case "$r_line" in
      REBUILD=[Ff][Aa][Ll][Ss][Ee]) ;;
      REBUILD=*) WHY="the $1 $2 has REBUILD=${r_line#*=} in its environment: each start of it may drop the framework's databases, so it is not touched"; r_env=; return 0 ;;
    esac
  done <<R_END
$r_env
R_END
  r_env=
  return 1
}
# The only two places where a container is started or stopped.
start_container() { # start_container ID
  ! may_drop container "$1" || return 1
  engine 120 start "$1" >/dev/null || { engine_failed "the engine could not start the container"; return 1; }
}
# Returns when it has ended, also where somebody else has told it to stop.
stop_container() { # stop_container ID
  ! may_drop container "$1" || return 1
  engine $((T_STOP + 60)) stop -t "$T_STOP" "$1" >/dev/null || { engine_failed "the engine could not stop the container"; return 1; }
}
# An engine fails to do so in the moment in which a container ends, as one does that is started again and again.
set_policy() { # set_policy ID POLICY
  for _ in 1 2 3 4 5; do
    engine 60 update --restart="$2" "$1" >/dev/null && return 0
    check_engine || return 1
    nap 0.3
  done
  engine 60 update --restart="$2" "$1" >/dev/null || { engine_failed "the engine could not set the restart policy $2"; return 1; }
}
rename_container() { # rename_container ID NAME
  engine 60 rename "$1" "$2" >/dev/null || { engine_failed "the engine could not give the container the name $2"; return 1; }
}

