# ---- rights --------------------------------------------------------------------------------
# With whose rights the work below the framework's folder is done.

# FRAMEWORK_UID and FRAMEWORK_GID: whose rights are enough in the framework's folder.
# COMPONENT_UID and COMPONENT_GID: whose rights are enough below the component's folder.
# These are empty if our own rights are the right ones. UIDS: the users whose processes count.
#
# FOLDERS decide this, the outermost first. Data and logs are not among them: a framework that runs as root
# lets everybody write there, and only the removal of a whole folder touches them.
find_component_rights() {
  resolve_links
  look_up "$T_USER"
  T_UID=$ID_UID T_GID=$ID_GID
  FOLDERS="tars tars/$T_COMP tars/$T_COMP/bin tars/$T_COMP/conf tars/$T_COMP/util"
  # shellcheck disable=SC2086 # FOLDERS are words
  tree_rights "$T_INSTALL" "$T_USER" $FOLDERS
  COMPONENT_UID=$AS_UID COMPONENT_GID=$AS_GID FRAMEWORK_UID=$TOP_UID FRAMEWORK_GID=$TOP_GID RIGHTS_WHY=${AS_WHY:-$TOP_WHY}
  [ -z "$COMPONENT_UID" ] || RIGHTS_WHY=
  # Here and now, as a part of a pipeline would forget what it finds.
  [ -z "$COMPONENT_UID" ] || { AS_HOW=; find_rights; }
  UIDS="0 $S_UID $T_UID $TOP_OWNER $r_owner $OLD_UID"
  # Files that root writes in folders of its own belong to the run user.
  OWNER=; [ $IS_ROOT = 0 ] || [ -n "$COMPONENT_UID" ] || [ -z "$T_UID" ] || OWNER=$T_USER:
  set_error_file "$T_UID"
}
# The framework clears its umask. If it runs as root, everybody can write to the folders that it makes. Root
# takes that right away in its own folders, from the outside in, before it works there.
close_folders() {
  [ $IS_ROOT = 1 ] && [ -n "$RIGHTS_WHY" ] && [ -z "$COMPONENT_UID" ] && trusted "$T_INSTALL" || return 0
  note "take the right to write there from others: $RIGHTS_WHY"
  for c_dir in $FOLDERS; do
    [ ! -d "$c_dir" ] || [ -h "$c_dir" ] || [ ! -O "$c_dir" ] || chmod go-w "$c_dir" || return 0
  done
  find_component_rights
}
# While owners are being changed, folders belong to root and their files still belong to the run user. Root
# does not work there with its own rights.
find_rights_in_handover() {
  find_component_rights
  [ $IS_ROOT = 1 ] && [ -s "$STEP_DIR/before/folders" ] && [ -z "$COMPONENT_UID" ] && [ -n "$T_UID" ] && [ "$T_UID" != 0 ] || return 0
  COMPONENT_UID=$T_UID COMPONENT_GID=$T_GID OWNER=
  use_rights_of "$COMPONENT_UID" "$COMPONENT_GID"; [ -n "$AS_HOW" ] || find_rights
}
use_rights_of() { [ "$AS_UID" = "$1" ] || AS_HOW=; AS_UID=$1 AS_GID=$2; }
# Runs an operation of tree.sh below the component's folder.
in_component() { # in_component OPERATION WORD…
  if [ -z "$COMPONENT_UID" ]; then run_operation "$@"; return; fi
  use_rights_of "$COMPONENT_UID" "$COMPONENT_GID"
  # A single program needs no shell around it.
  case "$1" in
    save) as_user 600 cat "$2" </dev/null 3<&- ;;
    put | restore) as_user 600 sh -s "$@" <"$STEP_DIR/tree.sh" ;;
    *) as_user 600 sh -s "$@" <"$STEP_DIR/tree.sh" 3<&- 5<&- 6<&- ;;
  esac
}
# The same in the framework's folder itself.
in_framework() { # in_framework OPERATION WORD…
  if [ -z "$FRAMEWORK_UID" ]; then run_operation "$@"; else use_rights_of "$FRAMEWORK_UID" "$FRAMEWORK_GID"; as_user 600 sh -s "$@" <"$STEP_DIR/tree.sh"; fi
}
start_errors() { if [ "$START_ERRORS" = "$STEP_DIR/start.err" ]; then tail -n "$1" "$START_ERRORS" 2>/dev/null; else in_component tail "$1" "$START_ERRORS" | head -c 2000; fi; }
# Anybody may have put links among the logs, so root reads them with the rights of nobody.
log_ends() {
  if [ $IS_ROOT = 1 ] && [ -z "$COMPONENT_UID" ]; then ( use_rights_of 65534 65534; as_user 60 sh -s logs tars/app_log <"$STEP_DIR/tree.sh" )
  else in_component logs tars/app_log
  fi
}
# A folder whose files another user can change is emptied with the rights of that user. Root then removes only
# the empty folder.
has_other_owners() { [ -n "$(find "$1" -xdev -type d ! -user 0 2>&1 | head -c 1)" ]; }
delete_folder() { # delete_folder FOLDER
  [ -e "$1" ] || [ -h "$1" ] || return 0
  if [ $IS_ROOT = 1 ] && [ -z "$COMPONENT_UID" ] && has_other_owners "$1"; then
    # Root deletes only below its own folders. The run user empties its own first.
    if [ -n "$T_UID" ] && [ "$T_UID" != 0 ]; then
      ( use_rights_of "$T_UID" "$T_GID"; as_user 600 sh -s wipe "$1" <"$STEP_DIR/tree.sh" 2>/dev/null )
      find "$1" -xdev -depth -type d ! -user 0 -exec rmdir {} + 2>/dev/null
    fi
    ! has_other_owners "$1" || { note "left $1: others than root have folders in it"; return 1; }
  fi
  in_component wipe "$1" || return 1
  [ ! -e "$1" ] || { [ -z "$FRAMEWORK_UID" ] && rmdir "$1"; }
}

