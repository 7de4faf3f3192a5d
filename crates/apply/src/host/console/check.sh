
# ---- checks ----------------------------------------------------------------------------------
# Status 1: a fact has changed since the plan. 2: the change cannot be done here.
check_facts() {
  check_user && check_folder || return 2
  check_old || return
  check_new && check_tools || return 2
  check_processes
}
check_user() {
  look_up "$T_USER"
  [ -n "$ID_UID" ] || { WHY="the host has no user $T_USER"; return 1; }
  C_UID=$ID_UID C_GID=$ID_GID
  [ "$S_UID" = 0 ] || [ "$S_UID" = "$C_UID" ] || { WHY="only root can change a console that runs as $T_USER: use become: sudo"; return 1; }
  C_HOME=$(sed -n "s/^$T_USER:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*\$/\1/p" /etc/passwd | head -n 1)
  case "$C_HOME" in /*) ;; *) C_HOME=/ ;; esac
}
check_folder() {
  [ ! -h "$T_WEB" ] || { WHY="$T_WEB is a link, and PM2 would remember what it leads to: name the folder itself in the spec (web.install_path)"; return 1; }
  [ -d "$T_WEB" ] || { WHY="there is no console in $T_WEB"; return 1; }
  trusted "$PARENT" || { WHY="$UNSAFE, so the folder of the console cannot be replaced safely"; return 1; }
  [ "$S_UID" = 0 ] || [ -w "$PARENT" ] || { WHY="no right to write in $PARENT: use become: sudo"; return 1; }
  inode "$T_WEB"; OLD_INODE=$INODE OWNER=$(stat -c '%u:%g' "$T_WEB")
  f_device=${INODE%%:*}
  [ "$(stat -c %d "$PARENT")" = "$f_device" ] || { WHY="$T_WEB is a disk of its own, so it cannot be replaced as one"; return 1; }
  KEPT=
  for f_name in $DATA; do
    [ -e "$T_WEB/$f_name" ] || [ -h "$T_WEB/$f_name" ] || continue
    # A link stays with the old folder, and what is behind it with the link.
    [ ! -h "$T_WEB/$f_name" ] || { WHY="$T_WEB/$f_name is a link: put the folder itself there"; return 1; }
    inode "$T_WEB/$f_name" && [ "${INODE%%:*}" = "$f_device" ] || { WHY="$T_WEB/$f_name is on another disk, and cannot be moved in one step"; return 1; }
    KEPT="$KEPT$f_name "
  done
  find_move
  [ "$MOVE" = 'mv -T' ] || [ "$C_UID" = "$S_UID" ] || { WHY="the mv of this host has no option -T, which root needs in a folder of $T_USER"; return 1; }
}
check_old() {
  version_of "$T_WEB"
  [ "$VERSION" = "$T_OLD_VERSION" ] || { WHY="$T_WEB has the console ${VERSION:-of no version}, and not $T_OLD_VERSION"; return 1; }
  while read -r f_before f_after f_path; do
    [ -n "$f_path" ] || continue
    f_now=absent
    if [ -h "$T_WEB/$f_path" ]; then WHY="$T_WEB/$f_path is a link: put the file itself there"; return 2; fi
    if [ -e "$T_WEB/$f_path" ]; then f_now=unreadable; ! sha "$T_WEB/$f_path" || f_now=$SHA; fi
    [ "$f_now" = "$f_before" ] || { WHY="$f_path was changed since it was looked at"; return 1; }
    [ "$f_after" = absent ] || [ -f "$B/stage/$f_after" ] || { WHY="the new $f_path did not reach this host"; return 2; }
  done <"$STEP_DIR/files"
}
check_new() {
  [ ! -e "$RETIRED" ] && [ ! -h "$RETIRED" ] || { WHY="$RETIRED is there already"; return 1; }
  if [ -n "$T_BACK" ]; then
    inode "$T_BACK" || { WHY="the console that is to come back, $T_BACK, is not there any more"; return 1; }
    [ "${INODE%%:*}" = "${OLD_INODE%%:*}" ] && version_of "$T_BACK" && [ "$VERSION" = "$T_VERSION" ] || { WHY="$T_BACK has the console ${VERSION:-of no version}, and not $T_VERSION"; return 1; }
    for f_name in $KEPT; do
      [ ! -e "$T_BACK/$f_name" ] && [ ! -h "$T_BACK/$f_name" ] || { WHY="$T_BACK has a folder $f_name of its own: remove one of both"; return 1; }
    done
    return 0
  fi
  [ ! -e "$NEW" ] && [ ! -h "$NEW" ] || { WHY="$NEW is there already"; return 1; }
  [ -f "$B/stage/$T_ARCHIVE" ] && sha "$B/stage/$T_ARCHIVE" && [ "$SHA" = "$T_ARCHIVE" ] || { WHY="the archive of the release did not reach this host"; return 1; }
  f_free=$(bounded 20 df -Pk "$PARENT" 2>/dev/null | sed -n '2s/^.* \([0-9][0-9]*\)  *[0-9]*% .*$/\1/p')
  case "$f_free" in '' | *[!0-9]*) WHY="the free space at $PARENT cannot be seen"; return 1 ;; esac
  [ "$f_free" -ge $((T_SPACE / 1024)) ] || { WHY="$PARENT has $((f_free / 1024)) MiB free, and the console needs $((T_SPACE / 1048576)) MiB"; return 1; }
}
check_tools() {
  [ -x "$T_NODE" ] && bounded 20 "$T_NODE" --version >/dev/null 2>&1 || { WHY="$T_NODE does not run: install Node.js there"; return 1; }
  case "$T_FROM/$T_SUPERVISOR" in *pm2*) find_pm2 || return 1 ;; esac
  case "$T_FROM/$T_SUPERVISOR" in
    *systemd*)
      [ "$S_UID" = 0 ] || { WHY="only root can write a unit: use become: sudo"; return 1; }
      has systemctl && [ -d /run/systemd/system ] || { WHY="this host was not started by systemd: use another web.supervisor"; return 1; }
      [ ! -e "$UNIT_FILE" ] || unit_is_ours || { WHY="$UNIT_FILE was not written by tarsops for this cluster: remove it, or use another web.supervisor"; return 1; } ;;
  esac
}
# Who runs the console, and whether it is healthy now.
check_processes() {
  OTHER_UID='' RAN=0 OLD_LOGIN=0 OLD_TELLS=0 HAD_ENTRY=0
  console_pids "$T_WEB"
  [ -n "$PIDS" ] || [ -z "$OTHER_UID" ] || { WHY="the console runs as $(user_name "$OTHER_UID"), and not as $T_USER"; return 2; }
  f_by=none
  if [ -n "$PIDS" ]; then
    RAN=1
    # A console of several processes has one that the supervisor has started.
    for f_pid in $PIDS; do
      if find_daemon "$f_pid"; then f_by=pm2; break; fi
      if [ "$T_FROM" = systemd ] && unit_pid && [ "$U_PID" = "$f_pid" ]; then f_by=systemd; break; fi
    done
    [ "$f_by" = "$T_FROM" ] || { WHY="the console is run by $f_by, and not by $T_FROM, as was seen before"; return 1; }
    ask_console "$T_OLD_PORT"
    case "$A_LOGIN" in 200 | 302) OLD_LOGIN=1 ;; esac
    [ "$A_STATUS/$A_VERSION" != "200/$T_OLD_VERSION" ] || OLD_TELLS=1
  fi
  if [ "$T_FROM" = pm2 ]; then
    pm2_entry
    case $? in
      0) HAD_ENTRY=1
        [ "$E_PATH" = "$T_WEB/bin/www" ] || { WHY="PM2 starts the console as $E_PATH, and not from $T_WEB: remove it there (pm2 delete $T_PM2_NAME) and start it from its folder"; return 2; } ;;
      2) return 2 ;;
    esac
  fi
  if [ $RAN = 0 ] || [ "$T_PORT" != "$T_OLD_PORT" ]; then
    f_hex=$(printf '%04X' "$T_PORT")
    ! grep -qsE ": [0-9A-F]*:$f_hex [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6 || { WHY="another program listens at port $T_PORT"; return 2; }
  fi
  case "$PM2_DIR$C_HOME" in *"'"*) WHY="the folder of PM2 or of $T_USER has a quotation mark in its name"; return 2 ;; esac
}
save_facts() {
  rm -rf "$STEP_DIR/before" && mkdir "$STEP_DIR/before" || return 1
  HAD_CRONTAB=0 HAD_UNIT=0 WAS_ENABLED=0
  if has crontab; then read_crontab own && HAD_CRONTAB=1 || [ $? = 1 ] || return 1; fi
  case "$T_FROM/$T_SUPERVISOR" in
    *systemd*) if [ -e "$UNIT_FILE" ]; then
      HAD_UNIT=1; cat "$UNIT_FILE" >"$STEP_DIR/before/unit" || return 1
      ! sd is-enabled "$T_UNIT" >/dev/null || WAS_ENABLED=1
    fi ;;
  esac
  printf '%s\n' "HAD_CRONTAB=$HAD_CRONTAB HAD_UNIT=$HAD_UNIT WAS_ENABLED=$WAS_ENABLED OLD_INODE=$OLD_INODE OWNER=$OWNER KEPT='$KEPT' MOVE='$MOVE'" \
    "RAN=$RAN OLD_LOGIN=$OLD_LOGIN OLD_TELLS=$OLD_TELLS HAD_ENTRY=$HAD_ENTRY C_UID=$C_UID C_GID=$C_GID C_HOME='$C_HOME' PM2_DIR='$PM2_DIR'" >"$STEP_DIR/before/facts" || return 1
  flush "$STEP_DIR"/before/* "$STEP_DIR/before" "$STEP_DIR"
}
