
# ---- folders ---------------------------------------------------------------------------------
# A folder keeps its inode wherever it is moved to.
inode() { # inode PATH: in INODE; 1 where there is no real folder
  INODE=; [ ! -h "$1" ] && [ -d "$1" ] && INODE=$(stat -c '%d:%i' "$1" 2>/dev/null)
}
is_old() { inode "$1" && [ "$INODE" = "$OLD_INODE" ]; }
# Old tools have no -T. Without it a folder that somebody puts in the place of TO would take FROM into it.
find_move() { if mv -T "$STEP_DIR/before" "$STEP_DIR/before" 2>&1 | grep -q 'invalid option\|unrecognized'; then MOVE='mv'; else MOVE='mv -T'; fi; }
move_folder() { # move_folder FROM TO: one rename, where TO is not there
  [ ! -e "$2" ] && [ ! -h "$2" ] || { WHY="$2 is there already"; return 1; }
  $MOVE "$1" "$2" 2>"$STEP_DIR/move.err" && flush "${2%/*}" "${1%/*}" && return 0
  WHY="$1 could not be moved to $2: $(tail -n 1 "$STEP_DIR/move.err")"
  return 1
}
# Nobody else gets in any more while it is emptied.
drop_folder() {
  [ -d "$1" ] && [ ! -h "$1" ] || return 0
  [ "$S_UID" != 0 ] || chown 0:0 "$1"
  chmod 700 "$1" && rm -rf "$1"
}
# Moves what no release brings from one folder to another, where it is missing there.
move_data() { # move_data FROM TO
  for m_name in $KEPT; do
    [ ! -e "$2/$m_name" ] && [ ! -h "$2/$m_name" ] || continue
    [ -d "$1/$m_name" ] && [ ! -h "$1/$m_name" ] || continue
    move_folder "$1/$m_name" "$2/$m_name" || return 1
  done
}
# The version of a release, by its package.json, which one line of each release has.
version_of() { # version_of FOLDER: in VERSION
  VERSION=$(head -c 65536 "$1/package.json" 2>/dev/null | sed -n 's/^[[:space:]]*"version":[[:space:]]*"\([0-9A-Za-z.+-]*\)".*$/\1/p' | head -n 1)
}
# Folders that earlier changes have put aside, but for the newest. A folder in which a process works stays: the
# daemon of PM2 works where its first command was given.
prune_retired() { # prune_retired NUMBER
  p_keep=$1
  set --
  for p_dir in "$T_WEB".old-*; do
    case "${p_dir#"$T_WEB.old-"}" in *[!0-9a-f-]* | '') continue ;; esac
    [ -d "$p_dir" ] && [ ! -h "$p_dir" ] || continue
    set -- "$@" "$p_dir"
  done
  # shellcheck disable=SC2012 # links below /proc
  p_used=$(ls -l /proc/[0-9]*/cwd 2>/dev/null | sed 's/^.* -> //; s/$/\//')
  # Names sort by age, the oldest first.
  while [ $# -gt "$p_keep" ]; do
    case "$p_used" in *"$1/"*) note "$1 stays: a process works in it" ;; *) drop_folder "$1" || note "could not remove $1" ;; esac
    shift
  done
}
