
# ---- undo ------------------------------------------------------------------------------------
undo_failed() { WHY=$1; note "$1"; return 1; }
# 0: the old state is back. 1: not yet. 2: it cannot be brought back.
undo() {
  if [ "$STOPPED" = 0 ]; then drop_new; return 0; fi
  if ! is_old "$T_WEB" && ! is_old "$RETIRED"; then undo_failed "the folder of the old console is neither $T_WEB nor $RETIRED any more, so the new one was left"; return 2; fi
  if [ "$T_SUPERVISOR" = "$T_FROM" ]; then stop_console "$T_WEB" "$T_FROM" || return 1
  else stop_console "$T_WEB" "$T_SUPERVISOR" "$T_FROM" || return 1
  fi
  save_log
  if ! is_old "$T_WEB"; then
    if [ -e "$T_WEB" ]; then move_data "$T_WEB" "$RETIRED" && move_folder "$T_WEB" "$NEW" || return 1; fi
    move_folder "$RETIRED" "$T_WEB" || return 1
  fi
  undo_supervisor || return 1
  if [ "$RAN" = 1 ]; then
    start_console "$T_FROM" || return 1
    wait_healthy old 0 "$T_UNDO_DEADLINE" || return 1
    # A change to another supervisor may have taken the console out of PM2's list, and saved that.
    [ "$T_FROM/$T_SUPERVISOR" = pm2/pm2 ] || [ "$T_FROM" != pm2 ] || pm2_save
  fi
  drop_new
}
undo_supervisor() {
  case "$T_FROM/$T_SUPERVISOR" in *systemd*) ;; *) u_unit=0 ;; esac
  if [ "${u_unit:-1}" = 1 ]; then
    if [ "$HAD_UNIT" = 1 ]; then
      put_unit "$(cat "$STEP_DIR/before/unit")$NL" || return 1
      if [ "$WAS_ENABLED" = 1 ]; then sd enable "$T_UNIT"; else sd disable "$T_UNIT"; fi || { sd_failed "the unit $T_UNIT is not as it was"; return 1; }
    else remove_unit || return 1
    fi
  fi
  [ "$T_SUPERVISOR/$HAD_ENTRY" = pm2/0 ] || return 0
  # PM2 got the console from us. One that no list had was started there by hand, and its daemon has ended since.
  [ "$T_FROM" != pm2 ] || [ "$RAN" = 0 ] || return 0
  if find_pm2 && pm2_entry; then run_pm2 60 delete "$E_ID" >/dev/null 2>&1; fi
  return 0
}
# Beside what is in log/, which stays.
save_log() {
  [ -n "$PM2_DIR" ] && [ ! -e "$STEP_DIR/console.log" ] || return 0
  # shellcheck disable=SC2016 # the inner shell expands it
  ( umask 077; as_console 20 sh -c 'tail -n 100 "$1/logs/$2-error.log"' sh "$PM2_DIR" "$T_PM2_NAME" >"$STEP_DIR/console.log" 2>/dev/null )
}
# One that was replaced before stays, for the next rollback.
drop_new() { [ -n "$T_BACK" ] || drop_folder "$NEW" || note "could not remove $NEW"; }
