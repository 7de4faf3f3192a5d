# What is done to files below the framework's folder. `change.sh` sources this and runs it itself where
# only root, or only whoever acts, can put names there; otherwise `sh -s OPERATION WORD…` runs it with
# the rights of the user who can. The current folder is the install path and every path is relative to
# it. Content comes in on descriptor 3.

# One line for each path: its digest or what it is instead, whether its folder can be written, its
# mode, its owner.
tree_look() { # tree_look PATH…
  for l_path in "$@"; do
    l_dir=$l_path
    while l_dir=${l_dir%/*}; [ ! -d "$l_dir" ]; do case "$l_dir" in */*) ;; *) l_dir=.; break ;; esac; done
    l_can=0; [ ! -w "$l_dir" ] || l_can=1
    l_stat='-' l_word=absent
    if [ -h "$l_path" ]; then l_word='link'
    elif [ -e "$l_path" ]; then
      l_stat=$(stat -c '%a %u:%g %s' "$l_path" 2>/dev/null) || l_stat='- - 0'
      if [ ! -f "$l_path" ]; then l_word=not-a-file
      elif [ "${l_stat##* }" -gt "$SIZE_LIMIT" ]; then l_word=too-large
      else sha "$l_path" 2>/dev/null; l_word=${SHA:-unreadable}
      fi
      l_stat=${l_stat% *}
    fi
    echo "$l_word $l_can $l_stat"
  done
}
tree_save() { cat "$1"; }
into_place() { # into_place MODE OWNER|- PATH: descriptor 3 becomes it, whole or not at all
  new_file "$1" "$2" "$3" 3 && flush "$3.tarsops-new" && mv -f "$3.tarsops-new" "$3" && return 0
  rm -f "$3.tarsops-new"
  return 1
}
# The file that a process was started from stays the same file when it is restored, so that the process
# still runs what is installed: it is held under another name.
#
# Descriptors 3, 5 and 6 under up to three paths, each whole or not at all; then flush_all of FOLDER.
tree_put() { # tree_put OWNER|'' FOLDER|'' MODE PATH [MODE PATH [MODE PATH]]
  p_owner=$1 p_folder=$2
  shift 2
  put_aside "$1" "$2" 3 && { [ $# -lt 4 ] || put_aside "$3" "$4" 5; } && { [ $# -lt 6 ] || put_aside "$5" "$6" 6; } &&
    flush "$2.tarsops-new" ${4:+"$4.tarsops-new"} ${6:+"$6.tarsops-new"} &&
    mv -f "$2.tarsops-new" "$2" && { [ $# -lt 4 ] || mv -f "$4.tarsops-new" "$4"; } && { [ $# -lt 6 ] || mv -f "$6.tarsops-new" "$6"; } || {
    rm -f "$2.tarsops-new" ${4:+"$4.tarsops-new"} ${6:+"$6.tarsops-new"}
    return 1
  }
  [ -z "$p_folder" ] || tree_flush_all tars "$p_folder" || :
}
put_aside() { # put_aside MODE PATH DESCRIPTOR
  case "$2" in */bin/*) [ ! -f "$2" ] || [ -e "$2.tarsops-old" ] || ln "$2" "$2.tarsops-old" 2>/dev/null ;; esac
  case "$2" in */*) [ -d "${2%/*}" ] || tree_folder "${2%/*}" "$p_owner" || return 1 ;; esac
  { [ ! -e "$2.tarsops-new" ] && [ ! -h "$2.tarsops-new" ] || rm -f "$2.tarsops-new"; } && new_file "$1" "${p_owner:--}" "$2" "$3"
}
new_file() { # new_file MODE OWNER|- PATH DESCRIPTOR: what will be PATH, beside it
  cat <&"$4" >"$3.tarsops-new" && { [ "$2" = - ] || chown "$2" "$3.tarsops-new"; } && chmod "$1" "$3.tarsops-new"
}
# What is there in the mode and of the owner that it should have is left alone.
tree_restore() { # tree_restore DIGEST MODE OWNER|- PATH: descriptor 3 under PATH where it is something else
  rm -f "$4.tarsops-new"
  # A file of somebody else is never given away: who has it open for writing would keep it.
  if ! same "$4" "$1" "$3"; then
    if same "$4.tarsops-old" "$1" "$3"; then mv -f "$4.tarsops-old" "$4" || return 1
    else into_place "$2" "$3" "$4" || return 1
    fi
  fi
  [ "$(stat -c %a "$4")" = "$2" ] || tree_mode "$2" "$4"
}
same() { # same PATH DIGEST OWNER|-: whether a file is that one, of that owner
  [ ! -h "$1" ] && [ -f "$1" ] && { [ "$3" = - ] || [ "$(stat -c '%u:%g' "$1")" = "$3" ]; } && sha "$1" && [ "$SHA" = "$2" ]
}
tree_folder() { # tree_folder PATH [OWNER]: it, and what is missing above it; what is there keeps its owner
  [ ! -d "$1" ] || return 0
  mkdir -p "$1" && { [ -z "${2:-}" ] || chown -h "$2" "$1"; }
}
tree_folders() { mkdir -p "$@"; }
# Not through a link, and not of a file that has a name elsewhere.
tree_mode() { [ ! -h "$2" ] && [ -f "$2" ] && [ "$(stat -c %h "$2")" = 1 ] && chmod "$1" "$2"; }
tree_drop() { [ ! -e "$1" ] && [ ! -h "$1" ] || rm -f "$1"; }
tree_move() { # tree_move FROM TO
  [ ! -h "$1" ] && [ ! -e "$2" ] && [ ! -h "$2" ] && mkdir -p "${2%/*}" && [ -O "${2%/*}" ] && mv "$1" "$2"
}
# Nobody else gets in any more while it is emptied: an rm(1) that goes by names could be led away.
# A folder that only its own user can empty stays, empty, for whoever may take it out of its own.
tree_wipe() { [ ! -d "$1" ] || [ -h "$1" ] || chmod 700 "$1"; [ ! -e "$1" ] && [ ! -h "$1" ] || rm -rf "$1" 2>/dev/null || [ -z "$(ls -A "$1")" ]; }
# A tarsnode that starts makes a folder, with an empty bin, for each server that it remembers
# (NodeServer/CommandLoad.cpp). One that holds no file gives way.
tree_hollow() { # tree_hollow FOLDER: whether it is gone
  [ -h "$1" ] || find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
  [ ! -e "$1" ] && [ ! -h "$1" ]
}
tree_flush() { flush "$@"; }
tree_flush_all() { flush "$@" "$2"/*/; }
tree_unfold() { rmdir "$1" 2>/dev/null || :; }
# Room that a full disk cannot take, freed for the rollback.
tree_ballast() { printf '%262144s' '' 2>/dev/null >"$1/.tarsops-ballast" && flush "$1/.tarsops-ballast"; }
tree_free() { rm -f "$1/.tarsops-ballast"; }
tree_tidy() { # tree_tidy FOLDER: what a change needed only while it was under way
  [ ! -d "$1" ] || rm -f "$1/.tarsops-ballast" "$1/.tarsops-start.err" "$1"/bin/*.tarsops-old
}
tree_tail() { [ ! -h "$2" ] && [ -f "$2" ] && tail -n "$1" "$2" 2>/dev/null; }
tree_logs() { # tree_logs FOLDER: the ends of the newest files below it
  find "$1" -type f -exec tail -c 4096 {} \; 2>/dev/null
}

run_operation() { # run_operation NAME WORD…
  o_name=tree_$1; shift
  "$o_name" "$@"
}
[ -n "${TREE_SOURCED:-}" ] || run_operation "$@"
