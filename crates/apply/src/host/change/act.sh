# ---- the change ----------------------------------------------------------------------------
# A component that runs writes its configuration from memory, so that is replaced while it is down.
# New contents go to their places three at a time, as there are so many descriptors for them.
replace_files() { # replace_files conf: only configuration; '': the rest, and configuration if nothing restarts
  A_COUNT=0 FLUSHED=0
  while read -r f_mode f_before f_after f_path <&8; do
    case "$f_path" in
      */conf/*) [ "$1" = conf ] || [ "$T_RESTART" = 0 ] || continue ;;
      *) [ "$1" = '' ] || continue ;;
    esac
    if [ "$f_after" = absent ]; then in_component drop "tars/$f_path"
    elif [ "$f_after" = "$f_before" ]; then note "mode $f_mode $f_path"; in_component mode "$f_mode" "tars/$f_path"
    else
      note "replace $f_path"
      [ $A_COUNT -lt 3 ] || put_files '' || return 1
      A_COUNT=$((A_COUNT + 1))
      case $A_COUNT in
        1) A_MODE_1=$f_mode A_AFTER_1=$f_after A_PATH_1=$f_path ;;
        2) A_MODE_2=$f_mode A_AFTER_2=$f_after A_PATH_2=$f_path ;;
        3) A_MODE_3=$f_mode A_AFTER_3=$f_after A_PATH_3=$f_path ;;
      esac
    fi || { WHY="could not replace $f_path"; return 1; }
  done 8<"$STEP_DIR/files"
  # With the last ones the folders come on disk as well.
  if [ "$1" = conf ]; then put_files ''; else put_files "tars/$T_COMP"; fi
}
put_files() { # put_files FOLDER|'': those that were gathered
  a_folder=$1
  case $A_COUNT in
    0) return 0 ;;
    1) put_one "$A_MODE_1" "$A_AFTER_1" "$A_PATH_1" ;;
    2) in_component put "$OWNER" "$a_folder" "$A_MODE_1" "tars/$A_PATH_1" "$A_MODE_2" "tars/$A_PATH_2" 3<"$B/stage/$A_AFTER_1" 5<"$B/stage/$A_AFTER_2" || put_each ;;
    3) in_component put "$OWNER" "$a_folder" "$A_MODE_1" "tars/$A_PATH_1" "$A_MODE_2" "tars/$A_PATH_2" "$A_MODE_3" "tars/$A_PATH_3" \
      3<"$B/stage/$A_AFTER_1" 5<"$B/stage/$A_AFTER_2" 6<"$B/stage/$A_AFTER_3" || put_each ;;
  esac || return 1
  [ -z "$a_folder" ] || FLUSHED=1
  A_COUNT=0
}
# One by one, so that it can be said of which file it is.
put_each() {
  put_one "$A_MODE_1" "$A_AFTER_1" "$A_PATH_1" && put_one "$A_MODE_2" "$A_AFTER_2" "$A_PATH_2" &&
    { [ $A_COUNT = 2 ] || put_one "$A_MODE_3" "$A_AFTER_3" "$A_PATH_3"; }
}
put_one() { # put_one MODE DIGEST PATH
  in_component put "$OWNER" "$a_folder" "$1" "tars/$3" 3<"$B/stage/$2" && return 0
  # A rollback replaces a state that has failed: on a full disk that is deleted first.
  [ "$T_ON_FAILURE/$T_RESTART" = caller/1 ] && note "once more, in its place" && stop_component &&
    in_component tidy "tars/$T_COMP" && in_component drop "tars/$3" && in_component put "$OWNER" "$a_folder" "$1" "tars/$3" 3<"$B/stage/$2" && return 0
  WHY="could not replace $3"
  return 1
}
apply_change() {
  if [ "$T_MAKE_USER" = 1 ] && ! id -u "$T_USER" >/dev/null 2>&1; then
    note "make user $T_USER"
    { has useradd && useradd -r -m -s /bin/sh "$T_USER"; } || adduser -D "$T_USER" || { WHY="could not make user $T_USER"; return 1; }
    find_component_rights
  fi
  if [ "$T_FOLDER" = remove ]; then
    change_crontab || return 1
    note "stop $T_COMP"
    stop_component || { WHY="$T_COMP does not stop"; return 1; }
    if [ "$T_STOP_SERVERS" = 1 ]; then note "stop its servers"; stop find_servers || { WHY="its servers do not stop"; return 1; }; fi
    in_framework move "tars/$T_COMP" "$T_AWAY" || { WHY="could not move the folder of $T_COMP to $T_INSTALL/$T_AWAY"; return 1; }
    stop_component || { WHY="$T_COMP does not stop"; return 1; }
    [ ! -e "tars/$T_COMP" ] || { WHY="the folder of $T_COMP came back"; return 1; }
    in_framework flush tars "${T_AWAY%/*}"
    return 0
  fi
  if [ "$T_FOLDER" = create ] && [ -n "$T_BACK_FROM" ]; then
    in_framework move "$T_BACK_FROM" "tars/$T_COMP" || { WHY="could not move the folder of $T_COMP back"; return 1; }
    in_framework flush tars
    find_component_rights
  elif [ "$T_FOLDER" = create ]; then
    make_folders || { WHY="could not make the folder of $T_COMP"; return 1; }
  fi
  # The folder goes to the run user first; the rest is done with the run user's rights.
  if [ "$T_OWN" = 1 ]; then
    give_all_to_run_user || { WHY="could not give the folder to $T_USER${WHY:+: $WHY}"; return 1; }
    [ -z "$RIGHTS_WHY" ] || { WHY="$RIGHTS_WHY, so root does not work there"; return 1; }
  fi
  # The framework may be on another disk than our own files.
  if [ "$T_FOLDER" = keep ] && [ -d "tars/$T_COMP" ] && [ $OTHER_DISK = 1 ]; then in_component ballast "tars/$T_COMP" || { WHY="no space left in the folder of $T_COMP, or it is read-only"; return 1; }; fi
  replace_files '' || return 1
  if [ -n "$T_OWNERS_FROM" ]; then
    { take_folders "$STEP_DIR/before/folders" && save_owners && restore_owners "$B/runs/$T_OWNERS_FROM/before"; } || { WHY="could not give the folder back to its owners${WHY:+: $WHY}"; return 1; }
  fi
  [ -z "$T_OWNERS_FROM" ] && [ $FLUSHED = 1 ] || in_component flush_all tars "tars/$T_COMP"
  if [ "$T_RESTART" = 1 ]; then
    note "stop $T_COMP"
    stop_and replace_files conf || return 1
    # Without a health check this is the rest of a removed component, which stays stopped.
    [ "$T_HEALTH" = 0 ] || { start_as_planned; WHY=; start_component; } || { [ -n "$WHY" ] || WHY="start.sh of $T_COMP failed: $(start_errors 1)"; return 1; }
  fi
  if [ "$T_HEALTH" = 1 ]; then wait_healthy "$T_NODEID" "$T_SETTLE" "$T_DEADLINE" || return 1; fi
  change_crontab || return 1
}
# shellcheck disable=SC2086 # OWNER is a word or none
make_folders() { # of a new component
  in_framework folder tars $OWNER || return 1
  # Where only root can write, root makes the folder and gives it to the run user.
  [ -n "$FRAMEWORK_UID" ] || find_component_rights
  if [ -n "$FRAMEWORK_UID" ] && [ "$FRAMEWORK_UID" = "$T_UID" ]; then
    # The run user's rights are enough for all of it.
    set -- "tars/$T_COMP/data" tars/app_log
    while read -r _ _ f_after f_path; do
      case "$f_after $* " in absent* | *" tars/${f_path%/*} "*) ;; *) set -- "$@" "tars/${f_path%/*}" ;; esac
    done <"$STEP_DIR/files"
    in_framework folders "$@" || return 1
    find_component_rights; return 0
  fi
  in_framework folder "tars/$T_COMP" $OWNER && { [ -d tars/app_log ] || in_framework folder tars/app_log $OWNER; } || return 1
  find_component_rights
  in_component folder "tars/$T_COMP/data" $OWNER
}
change_crontab() {
  [ "$T_CRON_AFTER" != keep ] || return 0
  # The health check may have taken minutes. Lines that somebody added meanwhile must not be lost.
  crontab_digest
  [ "$CRON_DIGEST" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_CRON_USER changed meanwhile"; return 1; }
  note "write the crontab of $T_CRON_USER"
  if [ "$T_CRON_AFTER" = absent ]; then write_crontab absent; else write_crontab "$B/stage/$T_CRON_AFTER"; fi ||
    { crontab_failed "could not write the crontab of $T_CRON_USER"; return 1; }
}

