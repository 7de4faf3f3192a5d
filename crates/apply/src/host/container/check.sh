# ---- checks ----------------------------------------------------------------------------------
# Status 1: a fact has changed since the plan. 2: the change cannot be done here. 3: it may drop databases.
check_facts() {
  check_engine || return 2
  [ "$S_UID" = 0 ] || { WHY="only root sees the processes of a container: use become: sudo"; return 2; }
  [ -z "$T_OLD" ] || check_old || return
  check_new
}
check_old() {
  describe "$T_NAME"
  case $? in 1) WHY="there is no container $T_NAME any more"; return 1 ;; 2) return 2 ;; esac
  [ "$C_ID" = "$T_OLD" ] || { WHY="the container $T_NAME is another one than was looked at"; return 1; }
  # One without our label is ours if the caller has said of which image it is.
  [ "$C_CLUSTER" = "$T_CLUSTER" ] || { [ -n "$T_ADOPT" ] && [ -z "$C_CLUSTER" ] && [ "$C_IMAGE" = "$T_ADOPT" ]; } || { WHY="the container $T_NAME is not of this cluster: rename it, or name another one in the spec (docker.name)"; return 2; }
  [ "$C_REMOVED" != true ] || { WHY="the container $T_NAME is removed when it stops (--rm), so it could not be restored: make it without"; return 2; }
  case "$C_STATE" in
    paused) WHY="the container $T_NAME is paused: resume it (docker unpause), or stop it"; return 2 ;;
    removing) WHY="somebody removes the container $T_NAME"; return 1 ;;
  esac
  ! may_drop container "$T_OLD" || return 3
}
check_new() {
  if [ -z "$T_OLD" ]; then
    describe "$T_NAME"
    case $? in 0) WHY="there is a container $T_NAME already"; return 1 ;; 2) return 2 ;; esac
  fi
  describe "$RETIRED_NAME"
  case $? in 0) WHY="the name $RETIRED_NAME is taken"; return 2 ;; 2) return 2 ;; esac
  if [ -n "$T_RETIRED" ]; then
    describe "$T_RETIRED"
    case $? in 1) WHY="the container that is to come back was removed"; return 1 ;; 2) return 2 ;; esac
    [ "$C_STATE" != running ] || { WHY="the container that is to come back runs already"; return 1; }
    case "$C_NAME" in "$T_NAME.old-"*) ;; *) WHY="the container $C_NAME is not one that was replaced by us"; return 2 ;; esac
    [ "$C_CLUSTER" = "$T_CLUSTER" ] || grep -qsxF "$C_ID" "$B/retired" || { WHY="the container $C_NAME is not of this cluster"; return 2; }
    BACK_NAME=$C_NAME
    ! may_drop container "$T_RETIRED" || return 3
    ! may_drop image "$C_IMAGE" || return 3
    check_entrypoint "$T_RETIRED"
    return
  fi
  # A new container that a run made before it was cut off, and that never started, is ours to remove.
  describe "$NEW_NAME"
  case $? in
    0) [ "$C_CLUSTER/$C_STATE" = "$T_CLUSTER/created" ] || { WHY="the name $NEW_NAME is taken by a container that is not ours to remove"; return 2; }
      engine 60 rm "$C_ID" >/dev/null || { engine_failed "the container $NEW_NAME of an earlier run could not be removed"; return 2; } ;;
    2) return 2 ;;
  esac
  # By a successful list, as the status of a failed look would say the same of an engine that is down.
  d_all=$(engine 30 image ls -a -q --no-trunc) || { engine_failed "the engine gives no list of its images"; return 2; }
  case "$NL$d_all$NL" in *"$NL$T_IMAGE$NL"*) ;; *) WHY="the image $T_IMAGE is not on this host: load it before (docker load, or docker pull by its digest)"; return 2 ;; esac
  ! may_drop image "$T_IMAGE" || return 3
  check_space
}
check_space() {
  [ "$T_SPACE" != 0 ] || return 0
  f_root=$(engine 30 info --format '{{.DockerRootDir}}') || { engine_failed "the engine does not say where its files are"; return 2; }
  f_free=$(bounded 20 df -Pk "$f_root" 2>/dev/null | sed -n '2s/^.* \([0-9][0-9]*\)  *[0-9]*% .*$/\1/p')
  case "$f_free" in '' | *[!0-9]*) WHY="the free space at $f_root cannot be seen"; return 2 ;; esac
  [ "$f_free" -ge $((T_SPACE / 1024)) ] || { WHY="$f_root has $((f_free / 1024)) MiB free, and the container needs $((T_SPACE / 1048576)) MiB"; return 2; }
}
# Some images lack it; then a container can be made and not be started.
check_entrypoint() { # check_entrypoint ID
  engine 60 cp -L "$1:$T_ENTRYPOINT" - >/dev/null || { engine_failed "the image has no $T_ENTRYPOINT"; return 2; }
}
save_facts() {
  rm -rf "$STEP_DIR/before" && mkdir "$STEP_DIR/before" && : >"$STEP_DIR/before/programs" || return 1
  HAD_CRONTAB=0 OLD_POLICY=no OLD_RAN=0 OLD_STARTED=
  if has crontab; then read_crontab own && HAD_CRONTAB=1 || [ $? = 1 ] || return 1; fi
  if [ -n "$T_OLD" ]; then
    describe "$T_OLD" || return 1
    OLD_POLICY=$C_POLICY OLD_STARTED=$C_STARTED
    # One that its engine starts again and again has nothing that could be seen to run afterwards.
    case "$C_STATE" in running) OLD_RAN=1 ;; restarting) OLD_RAN=loop ;; esac
    if [ "$C_STATE" = running ] && s_list=$(container_programs); then
      # What of the programs runs now has to run again if this fails.
      missing_programs "$s_list" "$(program_paths)" >/dev/null
      printf '%s' "$PROGRAM_PIDS" | sed 's/^[0-9]* //' >"$STEP_DIR/before/programs" || return 1
    fi
  fi
  printf '%s\n' "HAD_CRONTAB=$HAD_CRONTAB OLD_POLICY=$OLD_POLICY OLD_RAN=$OLD_RAN OLD_STARTED=$OLD_STARTED BACK_NAME=$BACK_NAME" >"$STEP_DIR/before/facts" || return 1
  flush "$STEP_DIR"/before/* "$STEP_DIR/before" "$STEP_DIR"
}

