# What the engine of containers on this host has, and what starts containers here. P_SOCKET is the engine's
# socket, P_CONTAINER the container and P_IMAGE the image of the spec, or nothing. P_OF_CONTAINER and P_OF_IMAGE are
# templates that leave every value of the environment here that could be a secret.
#
# Three ways not to know are told apart by what is there, as docker(1) has one exit status for all of them. That a
# container is absent is told only by a list of all that has it not.

docker_look() {
  say "docker $P_SOCKET"
  # Whatever the profile of somebody says of another engine.
  unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
  d_files='' d_found=''
  if ! has docker; then say "engine no-program"
  elif [ ! -S "$P_SOCKET" ]; then say "engine no-socket"
  elif [ ! -w "$P_SOCKET" ]; then say "engine not-allowed"
  # A container may go between the list and the question about it.
  elif docker_list || { [ -n "$d_again" ] && docker_list; }; then
    say "engine answers"
    docker_framework
  else say "engine silent $d_why"
  fi
  docker_texts
}
# Becomes the program: only for a shell of its own.
docker_ask() { exec_bounded 15 docker -H "unix://$P_SOCKET" "$@"; }
docker_list() {
  d_again='' d_found='' d_why=''
  d_ids=$(docker_ask ps -a -q --no-trunc 2>/dev/null) || { docker_why $? ps -a -q; return 1; }
  [ -n "$d_ids" ] || return 0
  # shellcheck disable=SC2086 # ids
  d_found=$(docker_ask inspect --type container --format "$P_OF_CONTAINER" $d_ids 2>/dev/null) || {
    d_rc=$? d_again=1
    # shellcheck disable=SC2086 # ids
    docker_why $d_rc inspect --type container --format '{{.ID}}' $d_ids
    return 1
  }
}
docker_why() { # docker_why STATUS WORD…: in d_why
  d_rc=$1; shift
  if [ "$d_rc" = 137 ]; then d_why="it does not answer within 15 s"; return 0; fi
  d_why=$(docker_ask "$@" 2>&1 >/dev/null)
  d_why=${d_why##*"$NL"}
  d_why="${d_why:-docker ends with status $d_rc}"
}
# The framework's containers, their images, and the files of compose that they name. Of other containers, which may be
# many, only those that may touch the framework's are told; the list was whole all the same.
docker_framework() {
  d_images=''
  set -f; IFS=$NL
  say "containers raw"
  for d_line in $d_found; do
    case "$d_line" in
      *'"framework":true'* | *'"name":"/'"${P_CONTAINER:-/}"'"'* | *'"name":"/'"${P_CONTAINER:-/}"'.'*) printf '%s\n' "$d_line" ;;
      *watchtower* | *io.kubernetes.* | *tars-node*) printf '%s\n' "$d_line"; continue ;;
      *) continue ;;
    esac
    d_image=${d_line#*'"image":"'}; d_image=${d_image%%'"'*}
    case "$d_images $P_IMAGE " in *" $d_image "*) ;; *) d_images="$d_images $d_image" ;; esac
    d_of=${d_line#*'["com.docker.compose.project.config_files","'}
    [ "$d_of" != "$d_line" ] || continue
    d_of=${d_of%%'"'*}
    d_dir=${d_line#*'["com.docker.compose.project.working_dir","'}
    [ "$d_dir" = "$d_line" ] || d_of="$d_of,${d_dir%%'"'*}/.env"
    IFS=,
    for d_file in $d_of; do
      case "$d_file" in /*) case "$NL$d_files$NL" in *"$NL$d_file$NL"*) ;; *) d_files="$d_files$d_file$NL" ;; esac ;; esac
    done
    IFS=$NL
  done
  IFS=$P_IFS
  say_raw 0
  if [ -n "$d_images$P_IMAGE" ]; then
    say "images raw"
    # One that is not there makes the status 1, and the others are shown all the same.
    # shellcheck disable=SC2086 # ids
    bounded 15 docker -H "unix://$P_SOCKET" image inspect --format "$P_OF_IMAGE" $d_images $P_IMAGE 2>/dev/null
    say_raw $?
  fi
  set +f
}
# What speaks of a rebuild, and units that run docker. Only these words leave the host: a line may have a password.
docker_texts() {
  set -f; IFS=$NL
  set --
  for d_file in $d_files; do
    # Whoever names a device means no text.
    if [ -f "$d_file" ] && [ -r "$d_file" ]; then set -- "$@" "$d_file"
    elif [ -e "$d_file" ] || [ "${d_file##*/}" != .env ]; then say "unread $d_file"
    fi
  done
  IFS=$P_IFS; set +f
  d_q="[\"']\\{0,1\\}" d_s='[[:space:]]*' d_v="[[:space:]]*[^][:space:],\"'#]*"
  grep -aoHs -m 256 \
    -e "^$d_s\\(export$d_s\\)\\{0,1\\}-\\{0,1\\}$d_s${d_q}REBUILD$d_q${d_s}[:=]$d_s$d_q$d_v" \
    -e "^$d_s-$d_s${d_q}REBUILD$d_q$d_s\$" \
    -e "[[{,]$d_s${d_q}REBUILD$d_q${d_s}[:=]$d_s$d_q$d_v" \
    -e "\\(-e\\|--env\\|Environment\\)[[:space:]=]*${d_q}REBUILD=\\{0,1\\}$d_q$d_v" \
    -e 'docker\( \|-\)\(compose \)*\(run\|start\|restart\|create\|up\)' \
    "$@" /etc/systemd/system/*.service /etc/systemd/system/*.service.d/*.conf /usr/local/lib/systemd/system/*.service 2>/dev/null
}
# Processes of the framework inside of containers, by the framework's component: P_INSIDE has lines `PID COMPONENT DIGEST`.
docker_processes() {
  d_asked=''
  set -f; IFS=$NL
  for d_line in $P_INSIDE; do
    IFS=$P_IFS
    d_p=${d_line%% *}
    say "inside $d_line"
    d_asked="$d_asked /proc/$d_p/ns/pid"
    IFS=$NL
  done
  for d_line in $d_found; do
    d_p=${d_line#*'"pid":'}; d_p=${d_p%%[!0-9]*}
    case "$d_p" in '' | 0) ;; *) d_asked="$d_asked /proc/$d_p/ns/pid" ;; esac
  done
  IFS=$P_IFS; set +f
  [ -n "$d_asked" ] || return 0
  say "namespaces"
  # shellcheck disable=SC2012,SC2086 # links of fixed names
  say_lines "$(ls -l $d_asked 2>/dev/null)"
}
