# What happens to the records of all runs on a host.

# Adds a line to the log that no run removes.
audit() { # audit RUN STEP WORD HOLDER SUMMARY
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$@" >>"$B/audit.log"
}
# The newest runs stay for `history` and `rollback`.
prune_runs() { # prune_runs NUMBER [FUNCTION]: FUNCTION is called with each run before its records are removed
  v_keep=$1 v_before=${2:-}
  # Names sort by age, the oldest first.
  set -- "$B"/runs/*
  while [ $# -gt "$v_keep" ]; do
    v_run=${1##*/}; shift
    case "$v_run" in *[!0-9a-f-]* | '') continue ;; esac
    ${v_before:+"$v_before" "$v_run"}
    rm -rf "$B/runs/$v_run"
  done
}
