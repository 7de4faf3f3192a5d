# ---- main ----------------------------------------------------------------------------------
main() {
  MODE=$1 AS_UID='' AS_HOW='' FILES_SEEN=0 OLD_UID=
  KNOWN_ID='' KNOWN_LINE='' KNOWN_ARGS='' IDENTITY=''
  GUARDED=0 OUTCOME=old WHY='' HEALTHY_PID='' PIDS='' CRONTAB=
  HAD_CRONTAB=0 WAS_RUNNING=0 OLD_PROCESS='' WAS_HEALTHY=0 HAD_TARS=1 HAD_LOGS=1
  own_uid
  # Files are compared without a program, which dash, bash and busybox know.
  # shellcheck disable=SC3013 # the question is whether this shell knows it
  [ / -ef / ] 2>/dev/null || exit 1
  # The component may be on another file system than our own files.
  OTHER_DISK=0 m_stats=$(stat -L -c '%d' "$STEP_DIR" "tars/$T_COMP" 2>/dev/null)
  case "$m_stats" in *[0-9]*) ;; *) exit 1 ;; esac
  [ "${m_stats%%"$NL"*}" = "${m_stats#*"$NL"}" ] || OTHER_DISK=1
  IS_ROOT=0 SAME_CRON=1
  [ "$S_UID" != 0 ] || IS_ROOT=1
  find_rights_in_handover
  if [ $IS_ROOT = 0 ]; then :
  elif [ "$T_CRON_USER" = "$T_USER" ]; then [ "$S_UID" = "$T_UID" ] || SAME_CRON=0
  else [ "$(id -u "$T_CRON_USER" 2>/dev/null)" = "$S_UID" ] || SAME_CRON=0
  fi
  T_BIN=$T_TARS/$T_COMP/bin/$T_COMP LISTEN_IP=$T_IP LISTEN_PORT=$T_PORT
  enter "$1"
}
read_facts() { # what was there before, if that was saved
  # shellcheck disable=SC1091 # it only sets the variables that save_before names
  [ ! -r "$STEP_DIR/before/facts" ] || . "$STEP_DIR/before/facts"
  case " $UIDS " in *" $OLD_UID "*) ;; *) UIDS="$UIDS $OLD_UID" ;; esac
}
# A start that the change began before it was cut off may still be in progress. It would start the component
# beside the old one.
is_still_starting() {
  for b_p in $(with_words "$T_RUN/$T_STEP/change.sh" "$T_TARS/$T_COMP/util/start.sh"); do
    b_p=${b_p#/proc/}; b_p=${b_p%%/*}
    case "$({ tr '\0' ' ' <"/proc/$b_p/cmdline"; } 2>/dev/null)" in
      *"/change.sh act "* | *"/util/start.sh "*) in_our_root "$b_p" && return 0 ;;
    esac
  done
  return 1
}
# A change of owners that was cut off is completed if the new state runs, and undone otherwise.
settle_owners() {
  [ -s "$STEP_DIR/before/folders" ] || return 0
  find_processes
  if [ -n "$PIDS" ] && [ "$PROCESS_UID" = "$T_UID" ]; then take_folders "$STEP_DIR/before/folders" && hand_folders_to "$STEP_DIR/before/folders" "$T_USER:"
  else restore_owners "$STEP_DIR/before"
  fi
}
recover() { # recover recover|accept
  begin_recovery
  r_left=30
  while [ $r_left -gt 0 ] && is_still_starting; do nap 0.1; r_left=$((r_left - 1)); done
  if [ "$PHASE" = "done" ]; then finish ok "done; its end was cut off"; return; fi
  if [ "$1" = accept ]; then
    settle_owners || note "owners are not all settled${WHY:+: $WHY}"
    in_component free "tars/$T_COMP"
    finish failed "left as it was found, as a person has said"
    return
  fi
  WHY="the change was cut off while $PHASE"
  undo_or_leave recover
}
begin() {
  check_turn
  close_folders
  check_facts
  case $? in 0) ;; 1) refuse moved "$WHY" ;; *) refuse "$WHY" ;; esac
  save_before || {
    rm -rf "$STEP_DIR/before"
    # The component may have written its configuration meanwhile.
    check_facts || refuse moved "$WHY"
    refuse "could not keep what is there now: no space left or read-only"
  }
  take_over
  if apply_change; then
    trap : TERM INT
    set_phase "done" || note "could not write the phase"
    remember_digest
    finish ok "done"
    prune
  else
    trap : TERM INT
    undo_or_leave act
  fi
}
main "${1:-act}"
