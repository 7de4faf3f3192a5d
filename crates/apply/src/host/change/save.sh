# ---- backup --------------------------------------------------------------------------------
# What is there is saved in before/, for a rollback now or later. `begin` puts it on disk.
save_before() {
  # A start of this change that was cut off may have left some.
  [ ! -e "$STEP_DIR/before" ] || rm -rf "$STEP_DIR/before" || return 1
  mkdir "$STEP_DIR/before" || return 1
  n=0
  while read -r f_mode f_before f_after f_path <&3 && read -r f_now f_can f_was f_owner <&4; do
    n=$((n + 1))
    [ "$f_before" != absent ] || continue
    # The set-user-ID, set-group-ID and sticky bits are never restored.
    case "$f_was" in *[!0-7]* | '') return 1 ;; [0-7] | [0-7][0-7] | [0-7][0-7][0-7]) ;; *) f_was=${f_was#"${f_was%???}"} ;; esac
    case "$f_owner" in *[!0-9:]* | :* | *: | *:*:*) return 1 ;; *:*) ;; *) return 1 ;; esac
    printf '%s %s\n' "$f_was" "$f_owner" >"$STEP_DIR/before/$n.meta" || return 1
    [ "$f_before" != "$f_after" ] || continue
    { AS_EXEC=1; in_component save "tars/$f_path"; } | head -c $SIZE_LIMIT >"$STEP_DIR/before/$n" || return 1
    sha "$STEP_DIR/before/$n" && [ "$SHA" = "$f_before" ] || return 1
  done 3<"$STEP_DIR/files" 4<"$STEP_DIR/now" || return 1
  [ $n = $FILES_SEEN ] || return 1
  HAD_CRONTAB=0
  if [ "$T_CRON_AFTER" != keep ] && has crontab; then
    save_crontab "$STEP_DIR/before/crontab" && k_cron=0 || k_cron=$?
    case $k_cron in
      0) [ "$T_CRON_BEFORE" != absent ] || [ ! -s "$STEP_DIR/before/crontab" ] || return 1
        [ "$T_CRON_BEFORE" = absent ] || { sha "$STEP_DIR/before/crontab" && [ "$SHA" = "$T_CRON_BEFORE" ]; } || return 1 ;;
      1) rm -f "$STEP_DIR/before/crontab"; [ "$T_CRON_BEFORE" = absent ] || return 1 ;;
      *) return 1 ;;
    esac
  fi
  find_processes; WAS_RUNNING=0 OLD_PROCESS='' OLD_UID=
  if [ -n "$PIDS" ]; then process_identity "${PIDS##* }"; WAS_RUNNING=1 OLD_PROCESS=$IDENTITY OLD_UID=$PROCESS_UID; fi
  if LISTEN_IP=- LISTEN_PORT=$T_PORT_BEFORE; unhealthy any; then WAS_HEALTHY=0
  else # It may have been starting when it was looked for above.
    process_identity "$HEALTHY_PID"
    WAS_HEALTHY=1 WAS_RUNNING=1 OLD_PROCESS=$IDENTITY OLD_UID=$PROCESS_UID
  fi
  if [ "$T_RESTART/$WAS_RUNNING" = 1/1 ]; then
    # The pid may be that of another process by now.
    { head -c 131072 "/proc/${OLD_PROCESS%%:*}/environ" >"$STEP_DIR/before/environ"; } 2>/dev/null || rm -f "$STEP_DIR/before/environ"
    process_identity "${OLD_PROCESS%%:*}"; [ -n "$OLD_PROCESS" ] && [ "$IDENTITY" = "$OLD_PROCESS" ] || rm -f "$STEP_DIR/before/environ"
  fi
  LISTEN_IP=$T_IP LISTEN_PORT=$T_PORT WHY=
  HAD_TARS=0 HAD_LOGS=0
  [ ! -d tars ] || HAD_TARS=1
  [ ! -e tars/app_log ] || HAD_LOGS=1
  printf '%s\n' "WAS_RUNNING=$WAS_RUNNING OLD_PROCESS=$OLD_PROCESS WAS_HEALTHY=$WAS_HEALTHY HAD_TARS=$HAD_TARS HAD_LOGS=$HAD_LOGS OLD_UID=$OLD_UID" >"$STEP_DIR/before/facts" || return 1
  # Space that is freed for the rollback, should the disk be full by then.
  printf '%262144s' '' 2>/dev/null >"$STEP_DIR/before/ballast" || return 1
}
