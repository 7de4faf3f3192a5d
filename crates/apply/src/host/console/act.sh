
# ---- the change ------------------------------------------------------------------------------
# Unpacks the release beside the old one, which runs on.
make_new() {
  [ -z "$T_BACK" ] || { check_scripts; return; }
  ( umask 022; mkdir "$NEW" ) 2>/dev/null || { WHY="could not make $NEW: no space left or read-only"; return 1; }
  tar -xzf - -C "$NEW" --strip-components="$T_STRIP" <"$B/stage/$T_ARCHIVE" 2>"$STEP_DIR/tar.err" || { WHY="the release could not be unpacked: $(tail -n 1 "$STEP_DIR/tar.err")"; return 1; }
  version_of "$NEW"
  [ "$VERSION" = "$T_VERSION" ] || { WHY="the archive has the console ${VERSION:-of no version}, and not $T_VERSION"; return 1; }
  for m_name in $KEPT; do drop_folder "$NEW/$m_name" || { WHY="$NEW/$m_name could not be removed"; return 1; }; done
  while read -r f_before f_after f_path; do
    [ -n "$f_path" ] && [ "$f_after" != absent ] || continue
    m_file=$NEW/$f_path m_mode=600
    [ "$f_before" = absent ] || m_mode=$(stat -c %a "$T_WEB/$f_path") || m_mode=600
    [ ! -h "${m_file%/*}" ] && mkdir -p "${m_file%/*}" && rm -f "$m_file" && ( umask 077; cat "$B/stage/$f_after" >"$m_file" ) && chmod "$m_mode" "$m_file" || { WHY="$f_path could not be written: no space left or read-only"; return 1; }
  done 2>/dev/null <"$STEP_DIR/files"
  [ "$S_UID" != 0 ] || chown -hR "$OWNER" "$NEW" || { WHY="$NEW could not be given to $OWNER"; return 1; }
  check_scripts || return 1
  # Sixteen thousand files are on disk sooner than by their names. A small sync(1) knows no -f.
  sync -f "$NEW" 2>/dev/null || sync
}
check_scripts() {
  for m_file in "$NEW/bin/www" "$NEW"/config/*.js; do
    [ -e "$m_file" ] || { WHY="the release has no ${m_file#"$NEW/"}"; return 1; }
    as_console 30 "$T_NODE" --check "$m_file" </dev/null >/dev/null 2>"$STEP_DIR/check.err" && continue
    # What node prints may hold a line of the configuration.
    WHY="${m_file#"$NEW/"} is no JavaScript that $T_NODE can read"
    return 1
  done
  rm -f "$STEP_DIR/check.err"
}
# From the first word of it on, the console may be away.
swap() {
  set_phase stopping || { WHY="could not write below $B: no space left or read-only"; return 1; }
  stop_console "$T_WEB" "$T_FROM" || return 1
  read_clock; AWAY=$NOW
  move_folder "$T_WEB" "$RETIRED" && move_folder "$NEW" "$T_WEB" && move_data "$RETIRED" "$T_WEB" || return 1
  if [ "$T_SUPERVISOR" = systemd ]; then put_unit "$T_UNIT_TEXT" || return 1; fi
  start_console "$T_SUPERVISOR" || return 1
  wait_healthy new "$T_SETTLE" "$T_DEADLINE" || { note "not healthy: $WHY"; return 1; }
  read_clock; note "healthy $(((NOW - AWAY) / 100)) seconds after the old console was stopped"
}
# The new console is healthy: what is left can be done again from here on.
settle() {
  case "$T_SUPERVISOR" in
    systemd) sd enable "$T_UNIT" || { sd_failed "the unit $T_UNIT could not be enabled"; return 1; } ;;
    pm2) pm2_save ;;
  esac
  case "$T_FROM/$T_SUPERVISOR" in
    pm2/pm2 | systemd/systemd) ;;
    # It would start the console a second time, with the host.
    pm2/*) if find_pm2 && pm2_entry; then run_pm2 60 delete "$E_ID" >/dev/null 2>&1; pm2_save; fi ;;
    systemd/*) remove_unit || return 1 ;;
  esac
}
