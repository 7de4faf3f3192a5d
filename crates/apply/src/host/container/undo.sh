# ---- undo ------------------------------------------------------------------------------------
undo_failed() { WHY=$1; note "$1"; return 1; }
# 0: the old state is back. 1: not yet. 2: it cannot be brought back.
undo() {
  if [ -n "$T_OLD" ]; then
    describe "$T_OLD"
    # The new container is better than none.
    case $? in 1) undo_failed "the old container was removed meanwhile, so the new one was left"; return 2 ;; 2) return 1 ;; esac
    [ "$C_NAME" = "$T_NAME" ] || [ "$C_NAME" = "$RETIRED_NAME" ] || { undo_failed "somebody has given the old container the name $C_NAME"; return 2; }
  fi
  remove_new || return
  [ -n "$T_OLD" ] || return 0
  if [ "$STOPPED" = 1 ]; then
    describe "$T_OLD" || return 1
    # It may have a signal to stop and not have ended yet.
    if [ "$U_FIRST/$C_STATE/$C_STARTED" = "1/running/$OLD_STARTED" ]; then stop_container "$T_OLD" || return 1; fi
    [ "$C_NAME" = "$T_NAME" ] || rename_container "$T_OLD" "$T_NAME" || return 1
    if [ "$OLD_RAN" != 0 ]; then start_container "$T_OLD" || return 1; fi
  fi
  set_policy "$T_OLD" "$OLD_POLICY" || return 1
  if [ "$STOPPED/$OLD_RAN" = 1/1 ]; then wait_healthy old 1 "$T_UNDO_DEADLINE" || return 1; fi
  describe "$T_OLD" || return 1
  [ "$C_NAME/$C_POLICY" = "$T_NAME/$OLD_POLICY" ] || { undo_failed "the old container has the name $C_NAME and the policy $C_POLICY"; return 1; }
  # A start of the new one that was on its way may have come through.
  find_new; [ $? = 1 ] || { [ -n "$T_RETIRED" ] && [ "$C_STATE" != running ]; } || return 1
}
# What it made is removed; what came back from an earlier replacement is stopped and put aside again.
remove_new() {
  find_new
  case $? in 1) return 0 ;; 2) return 1 ;; esac
  describe "$NEW_ID" || return 1
  [ "$C_STATE" = created ] && [ -z "$T_RETIRED" ] || {
    # It may show the password of the installation, so it stays here.
    [ "$STOPPED" = 0 ] || ( umask 077; bounded 30 docker -H "unix://$T_SOCKET" logs --tail 200 "$NEW_ID" </dev/null >"$STEP_DIR/container.log" 2>&1 )
    stop_container "$NEW_ID" || return 1
  }
  if [ -z "$T_RETIRED" ]; then
    engine 60 rm "$NEW_ID" >/dev/null || { engine_failed "the new container could not be removed"; return 1; }
  else
    set_policy "$NEW_ID" no || return 1
    [ "$C_NAME" = "$BACK_NAME" ] || rename_container "$NEW_ID" "$BACK_NAME" || return 1
  fi
}

