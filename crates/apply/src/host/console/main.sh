
# ---- main ------------------------------------------------------------------------------------
main() {
  # What the guard's crontab functions ask for: ours is the only crontab that is written.
  T_CRON_USER='' SAME_CRON=1 OUTCOME=old T_CRON_AFTER=keep GUARDED=0 CRONTAB=''
  HAD_CRONTAB=0 HAD_UNIT=0 WAS_ENABLED=0 OLD_INODE='' OWNER='' KEPT='' MOVE='mv' RAN=0 OLD_LOGIN=0 OLD_TELLS=0 HAD_ENTRY=0
  C_UID='' C_GID='' C_HOME='' PM2_DIR='' DAEMON='' PIDS='' OTHER_UID='' REBOOT=unknown
  STOPPED=0 WHY=''
  own_uid
  trap forget_payloads EXIT
  enter "$1"
}
# shellcheck disable=SC1091 # it only sets the variables that save_facts names
read_facts() { [ ! -r "$STEP_DIR/before/facts" ] || . "$STEP_DIR/before/facts"; }
begin() {
  check_turn
  check_facts
  case $? in 0) ;; 1) refuse moved "$WHY" ;; *) refuse "$WHY" ;; esac
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
  find_reboot
  finish ok "$REBOOT"
  prune_retired "$T_RETIRED"
  prune_runs "$T_KEEP"
}
recover() { # recover recover|accept
  begin_recovery
  if [ "$PHASE" = "done" ]; then find_reboot; finish ok "$REBOOT"; return; fi
  if [ "$1" = accept ]; then finish failed "left as it was found, as a person has said"; return; fi
  WHY="the change was cut off while $PHASE"
  case "$PHASE" in
    acting) ;;
    healthy)
      STOPPED=1
      if go_on; then finish_new; return; fi
      WHY="the new console was healthy, and is not any more: $WHY" ;;
    *) STOPPED=1 ;;
  esac
  undo_all recover
}
# A host that was started again may not have started the console.
go_on() {
  is_old "$RETIRED" && start_console "$T_SUPERVISOR" && wait_healthy new "$T_SETTLE" "$T_DEADLINE" && settle
}
# Puts the old state back.
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
    note "not yet: $WHY"
    u_turn=$((u_turn + 1))
    [ $u_turn -lt 4 ] || { finish stuck "$u_why; and the old console could not be brought back: ${WHY:-see the log}"; return; }
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
# The configuration has the password of the database. Also a change that was refused leaves it nowhere.
forget_payloads() {
  first_line "$STEP_DIR/verdict"
  case "$LINE" in '' | stuck) return 0 ;; esac
  set -- "$STEP_DIR/check.err"
  [ -z "$T_ARCHIVE" ] || set -- "$@" "$B/stage/$T_ARCHIVE"
  while read -r f_before f_after f_path; do case "$f_after" in '' | absent) ;; *) set -- "$@" "$B/stage/$f_after" ;; esac; done <"$STEP_DIR/files"
  rm -f "$@"
}
# After `stuck` the change stays the current one: it has not ended.
clean_up() { # clean_up WORD
  case "$1" in ok | failed) OUTCOME=new ;; *) OUTCOME=old ;; esac
  if [ "$1" != stuck ]; then
    forget_payloads
    rm -f "$B/current" || rm -f "$B/current" || return 0
  fi
  remove_guard || { nap 0.2; remove_guard; } || note "could not take the guard out of the crontab: it does so itself"
  rm -f "$STEP_DIR"/cron.now "$STEP_DIR"/cron.put "$STEP_DIR"/cron.err "$STEP_DIR"/move.err "$STEP_DIR"/systemctl.err "$STEP_DIR/tar.err"
}
# A signal makes the change fail.
interrupted() { trap : TERM INT HUP; WHY="the change was told to stop by a signal"; undo_all act; exit 0; }
main "${1:-act}"
