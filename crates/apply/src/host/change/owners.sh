# ---- owners --------------------------------------------------------------------------------
# Root changes owners only below folders that all belong to root at that moment. So it takes the folders first,
# from the outside in; then it changes owners; then it hands the folders to their owners, from the inside
# out. The records identify files by inode, as names can be exchanged:
#   before/folders   folders: inode, owner, mode        before/inodes   other files: inode, owner
#   before/named     files of this change: owner, path  before/roots    files of root: inode, mode, owner, sha256
owned_folders() { # in TOPS, as words
  TOPS="tars/$T_COMP"; [ ! -d tars/app_log ] || [ -h tars/app_log ] || TOPS="$TOPS tars/app_log"
}
# shellcheck disable=SC2086 # F_PARENT, TOPS and f_deep are words
take_folders() { # take_folders RECORD
  # An install path of another owner is taken as well, if nobody can put another folder in its place.
  F_PARENT=
  if ! trusted "$T_INSTALL"; then
    WHY="$UNSAFE: owners below it cannot be changed safely"
    trusted "${T_INSTALL%/*}" && [ ! -h "$T_INSTALL" ] || return 1
    F_PARENT=. WHY=
  fi
  F_RECORD=$1; export F_RECORD
  [ -e "$1" ] || : >"$1" || return 1
  rm -f "$1.failed"
  owned_folders
  for f_top in $F_PARENT tars $TOPS; do
    [ ! -h "$f_top" ] || { WHY="$f_top is a symbolic link"; return 1; }
    case "$f_top" in . | tars) f_deep="-maxdepth 0" ;; *) f_deep= ;; esac
    find "$f_top" $f_deep -xdev -type d -exec sh -c '
      for d; do
        s=$(stat -c "%i %u:%g %a" "$d") && { grep -q "^${s%% *} " "$F_RECORD" || printf "%s\n" "$s" >>"$F_RECORD"; } && chown -h 0 "$d" || : >"$F_RECORD.failed"
        case "${s##* }" in *[2367]? | *[2367]) chmod go-w "$d" || : >"$F_RECORD.failed" ;; esac
      done' sh {} \;
    # Files in a folder that was not taken are not touched.
    [ ! -e "$1.failed" ] || break
  done
  flush "$1"
  [ ! -e "$1.failed" ] || { WHY="could not take the folders of $T_COMP for the change of owners"; return 1; }
}
# Folders that were made meanwhile go to the run user.
# shellcheck disable=SC2086 # as above
hand_folders_to() { # hand_folders_to RECORD [OWNER]: to OWNER, or to the owners in RECORD
  F_RECORD=$1 F_OWNER=${2:-} F_NEW=$T_USER:; export F_RECORD F_OWNER F_NEW
  rm -f "$1.failed"
  owned_folders
  for f_top in $TOPS tars $F_PARENT; do
    case "$f_top" in . | tars) f_deep="-maxdepth 0" ;; *) f_deep= ;; esac
    [ "$f_top" != . ] || F_OWNER=
    find "$f_top" $f_deep -xdev -depth -type d -exec sh -c '
      for d; do
        i=$(stat -c "%i %a" "$d") || continue
        s=$(grep "^${i% *} " "$F_RECORD") || s=
        o=${s#* }; o=${o% *}; [ -n "$s" ] || o=$F_NEW
        [ -z "$F_OWNER" ] || o=$F_OWNER
        [ -z "$s" ] || [ "${s##* }" = "${i#* }" ] || chmod "${s##* }" "$d" || : >"$F_RECORD.failed"
        chown -h "$o" "$d" || : >"$F_RECORD.failed"
      done' sh {} \;
  done
  [ ! -e "$1.failed" ] || { WHY="could not give the folders of $T_COMP back"; return 1; }
}
# Calls FUNCTION with each file of the component that a plan may change, through no link.
each_file() { # each_file FUNCTION
  for e_file in "tars/$T_COMP"/bin/* "tars/$T_COMP"/util/* "tars/$T_COMP"/conf/*; do
    [ ! -h "${e_file%/*}" ] && [ -f "$e_file" ] && [ ! -h "$e_file" ] || continue
    "$1" "$e_file" || return 1
  done
}
save_root_file() { # save_root_file FILE
  [ -O "$1" ] || return 0
  o_who=$(stat -c '%h %i %a %u:%g' "$1") || return 1
  case "$o_who" in
    # A file with another name elsewhere is more than a file of the component.
    '1 '*) sha "$1" || :; printf '%s %s\n' "${o_who#1 }" "$SHA" >>"$STEP_DIR/before/roots" || return 1 ;;
  esac
}
# shellcheck disable=SC2086 # TOPS are words
save_owners() {
  o_uid=$T_UID o_gid=$T_GID
  find $TOPS -xdev ! -type d \( ! -user "$o_uid" -o ! -group "$o_gid" \) -exec stat -c '%i %u:%g' {} + >"$STEP_DIR/before/inodes" || return 1
  : >"$STEP_DIR/before/named" || return 1
  while read -r f_mode f_before f_after f_path; do
    [ "$f_before" != absent ] || continue
    # find(1) goes through no link, as a folder on the way may be one.
    o_who=$(find "tars/$T_COMP" -xdev -path "tars/$f_path" -type f -exec stat -c '%u:%g' {} +) || return 1
    [ -z "$o_who" ] || printf '%s %s\n' "$o_who" "$f_path" >>"$STEP_DIR/before/named" || return 1
  done <"$STEP_DIR/files"
  : >"$STEP_DIR/before/roots" || return 1
  # The content of root's files, so that root can own them again. All folders belong to root by now.
  [ "$o_uid" = 0 ] || each_file save_root_file || return 1
  flush "$STEP_DIR/before/inodes" "$STEP_DIR/before/named" "$STEP_DIR/before/roots"
}
# The run user owned the file for a while. So root gets a copy, which nobody has open, and only if it has the
# content that root had there. The folders belong to root when this is done.
restore_root_file() { # restore_root_file OWNER MODE SHA FILE
  g_way=$4
  while [ "$g_way" != tars ]; do [ ! -h "$g_way" ] || return 0; g_way=${g_way%/*}; done
  [ -f "$4" ] && [ ! -O "$4" ] || return 0
  rm -f "$4.tarsops-new"
  ( set -C; umask 077; head -c $SIZE_LIMIT "$4" >"$4.tarsops-new" ) && sha "$4.tarsops-new" && [ "$SHA" = "$3" ] &&
    chown "$1" "$4.tarsops-new" && chmod "$(printf '%03o' $((0$2 & 0755)))" "$4.tarsops-new" && mv -f "$4.tarsops-new" "$4" && return 0
  rm -f "$4.tarsops-new"
  note "left to $T_USER, as it is not what root had there: $4"
}
restore_recorded() { # restore_recorded FILE: to root, if root had it by OWNER_RECORDS
  [ ! -O "$1" ] || return 0
  g_inode=$(stat -c %i "$1") || return 0
  g_line=$(grep "^$g_inode " "$OWNER_RECORDS/roots") || return 0
  g_file=$1
  # shellcheck disable=SC2086 # four words: inode, mode, owner, digest
  set -- $g_line
  [ $# != 4 ] || restore_root_file "$3" "$2" "$4" "$g_file"
}
restore_root_files() { # restore_root_files RECORDS: a folder `before`
  [ -s "$1/roots" ] || return 0
  OWNER_RECORDS=$1
  each_file restore_recorded
  g_n=0
  while read -r _ g_before _ g_path <&3; do
    g_n=$((g_n + 1))
    g_who=$(grep "^0:[0-9]* $g_path\$" "$1/named" 2>/dev/null) || continue
    first_line "$1/$g_n.meta"
    restore_root_file "${g_who%% *}" "${LINE% *}" "$g_before" "tars/$g_path"
  done 3<"${1%/before}/files"
}
# shellcheck disable=SC2086 # TOPS are words
give_all_to_run_user() {
  [ $IS_ROOT = 1 ] && [ -d "tars/$T_COMP" ] || return 0
  # What was made with the run user's rights belongs to the run user.
  if [ "$T_FOLDER$T_BACK_FROM/$HAD_LOGS" = create/0 ] && [ "$COMPONENT_UID" = "$T_UID" ]; then : >"$STEP_DIR/before/folders"; return; fi
  owned_folders
  if [ -z "$( { find tars/ -maxdepth 0 ! -user "$T_UID"; for o_top in $TOPS; do find "$o_top/" -xdev \( ! -user "$T_UID" -o ! -group "$T_GID" \); done; } 2>&1 | head -c 1)" ]; then
    : >"$STEP_DIR/before/folders"; return
  fi
  take_folders "$STEP_DIR/before/folders" && save_owners || return 1
  # A file with another name elsewhere is more than a file of the component.
  find $TOPS -xdev ! -type d \( ! -user "$o_uid" -o ! -group "$o_gid" \) \( -type l -o -links 1 \) -exec chown -h "$T_USER:" {} + || return 1
  hand_folders_to "$STEP_DIR/before/folders" "$T_USER:" || return 1
  find_component_rights
}
# Files that are gone are passed over.
# shellcheck disable=SC2086,SC2013 # TOPS are words, and so are owners and inodes
restore_owners() { # restore_owners RECORDS: a folder `before`
  [ $IS_ROOT = 1 ] && [ -s "$1/folders" ] && [ -d "tars/$T_COMP" ] || return 0
  g_bad=0 g_from=$1
  take_folders "$STEP_DIR/before/folders" || return 1
  restore_root_files "$g_from"
  [ ! -f "$g_from/named" ] || while read -r g_who g_path; do
    # The run user could write these meanwhile, so root does not get them.
    case "$g_who" in 0:*) continue ;; esac
    find "tars/$T_COMP" -xdev -path "tars/$g_path" -type f -links 1 -exec chown -h "$g_who" {} + || g_bad=1
  done <"$g_from/named"
  for g_who in $(cut -d' ' -f2 "$g_from/inodes" 2>/dev/null | sort -u); do
    case "$g_who" in 0:*) continue ;; esac
    set --
    for g_inode in $(grep " $g_who\$" "$g_from/inodes" | cut -d' ' -f1); do
      set -- "$@" ${1:+-o} -inum "$g_inode"
      [ $# -lt 600 ] || { find $TOPS -xdev ! -type d \( -type l -o -links 1 \) \( "$@" \) -exec chown -h "$g_who" {} + || g_bad=1; set --; }
    done
    [ $# = 0 ] || find $TOPS -xdev ! -type d \( -type l -o -links 1 \) \( "$@" \) -exec chown -h "$g_who" {} + || g_bad=1
  done
  hand_folders_to "$g_from/folders" || g_bad=1
  find_component_rights
  return $g_bad
}

