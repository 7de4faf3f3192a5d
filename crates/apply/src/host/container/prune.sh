# Removes retired containers of this cluster, all but the newest. Sent on standard input; variables before it:
#   P_INSTALL P_CLUSTER P_SOCKET   P_NAME: of the container that replaced them   P_KEEP: how many stay
# Only what a replacement has put aside is removed: by its exact name, and by our label or our list.
#
# Answer: `tarsops-prune/1`, a line `removed NAME` for each, last `end`; or `refused base64`.

refuse() { printf 'tarsops-prune/1\nrefused %s\nend\n' "$(printf '%s' "$1" | enc)"; exit 0; }
engine() { # engine SECONDS WORD…
  e_limit=$1; shift
  bounded "$e_limit" docker -H "unix://$P_SOCKET" "$@" </dev/null 2>/dev/null
}
prune() {
  unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
  state_folder "$P_INSTALL" "$P_CLUSTER"
  make_state "$P_INSTALL" || refuse "$STATE_WHY"
  DOCKER_CONFIG=$B/docker; export DOCKER_CONFIG
  # A change may need one of them for its undo.
  { true >>"$B/lock"; } 2>/dev/null || refuse "could not open $B/lock"
  exec 9>>"$B/lock"
  flock -n 9 || refuse "a change is at work on this host"
  [ ! -e "$B/current" ] || refuse "a change on this host has not ended"
  p_all=$(engine 30 ps -a --no-trunc --format '{{.Names}} {{.ID}} {{.State}} {{.Label "tarsops.cluster"}}') || refuse "the engine gives no list of its containers"
  echo tarsops-prune/1
  # By the run that put them aside, the newest first.
  printf '%s\n' "$p_all" | sort -r | while read -r p_name p_id p_state p_cluster; do
    case "$p_name" in "$P_NAME.old-"*) ;; *) continue ;; esac
    p_run=${p_name#"$P_NAME.old-"}
    case "$p_run" in *[!0-9a-f-]* | '') continue ;; esac
    [ "$p_cluster" = "$P_CLUSTER" ] || grep -qsxF "$p_id" "$B/retired" || continue
    P_KEEP=$((P_KEEP - 1))
    [ $P_KEEP -lt 0 ] || continue
    case "$p_state" in exited | created | dead) ;; *) continue ;; esac
    # Without force and without its volumes.
    if engine 60 rm "$p_id" >/dev/null; then echo "removed $p_name"; fi
  done
  echo end
}
prune </dev/null
exit 0
