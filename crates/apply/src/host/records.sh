# What the scripts share that work on our own records. They are beside the records of changes; the master
# has those of the database. Each script ends with the word that its reader waits for.
# Variables before it: R_INSTALL, R_CLUSTER.

# Ends the script where our folder cannot be trusted.
open_records() {
  state_folder "$R_INSTALL" "$R_CLUSTER"
  make_state "$R_INSTALL" || { echo "$STATE_WHY" >&2; exit 1; }
  umask 077
}
no_room() { echo "$1 cannot be written: is there room on its disk?" >&2; exit 1; }

# Ends the script where a newer run has been on this host.
stop_if_fenced() { # stop_if_fenced RUN
  check_fence "$1" && return 0
  case $? in 1) echo "fenced $FENCE_WHY" ;; *) echo "refused $FENCE_WHY" ;; esac
  exit 0
}

# A component has a marker while a restart of it is pending: one line for each run that is the reason.
mark() { # mark COMPONENT KEY: a run, or RUN.SUFFIX
  r_marker=$B/restart.$1
  # An empty marker would stand for a reason that nobody can settle.
  printf '%s\n' "$2" >>"$r_marker" || { [ -s "$r_marker" ] || rm -f "$r_marker"; return 1; }
  flush "$r_marker" "$B"
}
unmark() { # unmark COMPONENT key KEY | until RUN
  r_marker=$B/restart.$1
  [ -e "$r_marker" ] || return 0
  r_left=$(while read -r r_line; do settled "$2" "$3" "$r_line" || printf '%s\n' "$r_line"; done <"$r_marker")
  # A full disk must not keep a marker that nothing is left of.
  if [ -z "$r_left" ]; then rm -f "$r_marker"
  # Under another name first, as a look takes every file `restart.*` for a marker.
  else put_file "$B/settled" "$r_left$NL" && mv -f "$B/settled" "$r_marker"
  fi
}
# The restart of a run is the restart of all older ones. A line of nobody is settled by any.
settled() { # settled key|until VALUE LINE
  case "$1" in
    key) [ "$3" = "$2" ] ;;
    *) [ -z "$3" ] || [ "${3%%.*}" = "$2" ] || newer_run "$2" "${3%%.*}" ;;
  esac
}
