# ---- rollback ------------------------------------------------------------------------------
undo_failed() { WHY=$1; u_bad=1; note "$1"; return 1; }
restore_files() { # restore_files conf|rest: configuration, or all other files
  n=0
  while read -r f_mode f_before f_after f_path; do
    n=$((n + 1))
    case "$f_path" in */conf/*) [ "$1" = conf ] || continue ;; *) [ "$1" = rest ] || continue ;; esac
    [ "$T_FOLDER" = keep ] || continue
    if [ "$f_before" = absent ]; then
      in_component drop "tars/$f_path.tarsops-new" && in_component drop "tars/$f_path" || undo_failed "could not remove $f_path"
      continue
    fi
    first_line "$STEP_DIR/before/$n.meta"
    r_mode=${LINE% *} r_who=${LINE#* }
    # Only root can change owners, and does so only where nobody else can write.
    [ $IS_ROOT = 1 ] && [ -z "$COMPONENT_UID" ] || r_who=-
    if [ -f "$STEP_DIR/before/$n" ]; then in_component restore "$f_before" "$r_mode" "$r_who" "tars/$f_path" 3<"$STEP_DIR/before/$n" || undo_failed "could not put $f_path back"
    else in_component mode "$r_mode" "tars/$f_path" || undo_failed "could not put the mode of $f_path back"
    fi
  done <"$STEP_DIR/files"
  return 0
}
undo() {
  u_bad=0 OWNERS_RESTORED=0 START_FAILED=0 WHY='' LISTEN_IP=- LISTEN_PORT=$T_PORT_BEFORE
  # A change of owners that was cut off is completed first, as the rest needs the run user's rights.
  if [ -s "$STEP_DIR/before/folders" ]; then
    { take_folders "$STEP_DIR/before/folders" && hand_folders_to "$STEP_DIR/before/folders" "$T_USER:"; } || u_bad=1
    find_rights_in_handover
  fi
  case "$T_FOLDER" in
    remove) # A folder that was made under its name meanwhile is another one. It is saved beside it.
      if [ -d "$T_AWAY" ]; then
        if [ -e "tars/$T_COMP" ]; then in_framework wipe "$T_AWAY.came-back"; in_framework move "tars/$T_COMP" "$T_AWAY.came-back" || undo_failed "the folder of $T_COMP is in the way"; fi
        in_framework move "$T_AWAY" "tars/$T_COMP" || undo_failed "could not move the folder of $T_COMP back"
        in_framework unfold "${T_AWAY%/*}"
        find_component_rights
      fi ;;
    create)
      stop_component || undo_failed "$T_COMP does not stop"
      if [ -n "$T_BACK_FROM" ]; then
        [ -e "$T_BACK_FROM" ] || in_framework move "tars/$T_COMP" "$T_BACK_FROM" || undo_failed "could not move the folder of $T_COMP away again"
      else
        # Its log says why it failed.
        if [ "$HAD_LOGS" = 0 ] && [ -e tars/app_log ]; then log_ends | head -c 65536 >"$STEP_DIR/app_log"; delete_folder tars/app_log || undo_failed "could not remove app_log"; fi
        delete_folder "tars/$T_COMP" || undo_failed "could not remove the folder of $T_COMP"
        if [ "$HAD_TARS" = 0 ] && [ -d tars ]; then
          trusted "$T_INSTALL" && rmdir tars 2>/dev/null || in_framework wipe tars || undo_failed "could not remove the folder of the framework"
        fi
      fi
      # A start that was in progress may have succeeded meanwhile.
      stop_component || undo_failed "$T_COMP does not stop" ;;
  esac
  restore_files rest
  restore_crontab
  [ ! -d "tars/$T_COMP" ] || in_component flush_all tars "tars/$T_COMP" 2>/dev/null
  [ -d "tars/$T_COMP" ] && [ "$T_FOLDER" != create ] || { [ $u_bad = 0 ]; return; }
  find_processes
  if [ "$WAS_RUNNING" = 0 ]; then
    # It did not run before. What this change started is stopped; what a monitor started does no harm.
    restore_files conf
    if [ "$T_RESTART" = 1 ]; then stop_and restore_files conf || u_bad=1; fi
  elif [ -n "$PIDS" ] && process_identity "${PIDS# }" && [ "$IDENTITY" = "$OLD_PROCESS" ] && ! unhealthy any; then
    restore_files conf # The old process was never stopped.
  else
    stop_and restore_files conf && start_as_before && start_component || u_bad=1 START_FAILED=1
  fi
  # Owners come last, as the work until then needs the run user's rights.
  [ $u_bad = 1 ] || [ $OWNERS_RESTORED = 1 ] || restore_owners "$STEP_DIR/before" || undo_failed "could not give the folder back to its owners"
  # If it was unhealthy before, it need not be healthy now.
  if [ "$WAS_HEALTHY/$START_FAILED" = 1/0 ]; then
    wait_healthy any 2 "$T_UNDO_DEADLINE" || u_bad=1
    [ $u_bad = 1 ] || [ -z "$OLD_UID" ] || [ "$PROCESS_UID" = "$OLD_UID" ] || undo_failed "$T_COMP runs as uid $PROCESS_UID, and it ran as uid $OLD_UID"
  fi
  [ $u_bad = 0 ]
}
restore_crontab() {
  [ "$T_CRON_AFTER" != keep ] && has crontab || return 0
  crontab_digest; u_now=$CRON_DIGEST
  if [ "$u_now" = "$T_CRON_BEFORE" ]; then return 0; fi
  # Only our own text is replaced. Lines that somebody added meanwhile stay.
  [ "$u_now" = "$T_CRON_AFTER" ] || { [ "$u_now" != unknown ] || undo_failed "could not read the crontab of $T_CRON_USER"; note "the crontab of $T_CRON_USER was edited meanwhile: left as it is"; return 0; }
  if [ -f "$STEP_DIR/before/crontab" ]; then write_crontab "$STEP_DIR/before/crontab"; else write_crontab absent; fi || { undo_failed "could not put the crontab of $T_CRON_USER back"; return 0; }
}

