# ---- main ------------------------------------------------------------------------------------
main() {
  # What the guard's crontab functions ask for: ours is the only crontab that is written.
  T_CRON_USER='' SAME_CRON=1 OUTCOME=old T_CRON_AFTER=keep GUARDED=0 CRONTAB=''
  HAD_CRONTAB=0 OLD_POLICY=no OLD_RAN=0 OLD_STARTED='' BACK_NAME='' NEW_ID='' PROGRAM_PIDS=''
  STOPPED=0 U_FIRST=0 WHY=''
  own_uid
  enter "$1"
}
# shellcheck disable=SC1091 # it only sets the variables that save_facts names
read_facts() { [ ! -r "$STEP_DIR/before/facts" ] || . "$STEP_DIR/before/facts"; }
begin() {
  check_turn
  check_facts
  case $? in 0) ;; 1) refuse moved "$WHY" ;; 3) refuse rebuild "$WHY" ;; *) refuse "$WHY" ;; esac
  save_facts || refuse "could not keep what is there now: ${WHY:-no space left or read-only}"
  take_over
  if ! make_new; then trap : TERM INT; undo_all act; return; fi
  STOPPED=1
  if swap && set_phase healthy && settle; then
    trap : TERM INT
    finish_new
  else
    trap : TERM INT
    undo_all act
  fi
}
finish_new() {
  set_phase "done" || note "could not write the phase"
  finish ok "done"
  prune_runs "$T_KEEP"
}
recover() { # recover recover|accept
  begin_recovery
  if [ "$PHASE" = "done" ]; then finish ok "done; its end was cut off"; return; fi
  if [ "$1" = accept ]; then finish failed "left as it was found, as a person has said"; return; fi
  # The engine may be starting, together with the host. Cron asks again in a minute.
  wait_engine 30 || { note "$WHY"; exit 0; }
  WHY="the change was cut off while $PHASE"
  case "$PHASE" in
    acting) ;;
    healthy)
      STOPPED=1
      if find_new && go_on; then finish_new; return; fi
      WHY="the new container was healthy, and is not any more: $WHY" ;;
    *) STOPPED=1 U_FIRST=1 ;;
  esac
  undo_all recover
}
# A host that was started again has stopped the new container, which had no policy yet.
go_on() {
  describe "$NEW_ID" || return 1
  [ "$C_STATE" = running ] || start_container "$NEW_ID" || return 1
  wait_healthy new "$T_SETTLE" "$T_DEADLINE" && settle
}
# Puts the old state back. Without an engine there is no verdict: cron tries again.
undo_all() { # undo_all act|recover
  u_why=$WHY u_old=$STOPPED
  note "put the old state back: $u_why"
  [ "$STOPPED" = 0 ] || set_phase undoing || :
  u_turn=0
  while :; do
    undo && u_status=0 || u_status=$?
    case $u_status in
      0) if [ "$u_old" = 0 ]; then finish refused "$u_why"; else finish rolled-back "$u_why"; fi; return ;;
      2) finish stuck "$u_why; $WHY"; return ;;
    esac
    U_FIRST=0
    note "not yet: $WHY"
    wait_engine 30 || { note "$WHY"; exit 0; }
    u_turn=$((u_turn + 1))
    [ $u_turn -lt 4 ] || { finish stuck "$u_why; and the old container could not be brought back: ${WHY:-see the log}"; return; }
    nap 0.5
  done
}
# The verdict comes before the cleanup, which `recover` can do as well.
finish() { # finish WORD TEXT
  grep -qF "	$T_RUN	$T_STEP	$1	" "$B/audit.log" 2>/dev/null ||
    audit "$T_RUN" "$T_STEP" "$1" "$T_HOLDER" "$T_SUMMARY"
  flush "$B/audit.log"
  # Without a verdict the guard stays and tries again in a minute.
  write_line "$STEP_DIR/verdict" "$1$NL$2" || { note "could not write the verdict: $1"; return 1; }
  note "verdict: $1"
  clean_up "$1"
}
# After `stuck` the change stays the current one: it has not ended.
clean_up() { # clean_up WORD
  case "$1" in ok | failed) OUTCOME=new ;; *) OUTCOME=old ;; esac
  [ "$1" = stuck ] || rm -f "$B/current" || rm -f "$B/current" || return 0
  remove_guard || { nap 0.2; remove_guard; } || note "could not take the guard out of the crontab: it does so itself"
  rm -f "$STEP_DIR"/cron.now "$STEP_DIR"/cron.put "$STEP_DIR"/cron.err "$STEP_DIR"/docker.err "$STEP_DIR/missing"
}
# A signal makes the change fail.
interrupted() { trap : TERM INT HUP; WHY="the change was told to stop by a signal"; undo_all act; exit 0; }
main "${1:-act}"
