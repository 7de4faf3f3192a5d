# What happens to the records of all runs on a host.

# Adds a line to the log that no run removes.
audit() { # audit RUN STEP WORD HOLDER SUMMARY
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$@" >>"$B/audit.log"
}
# The newest runs stay for `history` and `rollback`.
prune_runs() { # prune_runs NUMBER [FUNCTION]: FUNCTION is called with each run before its records are removed
  # shellcheck disable=SC2012 # names of runs are digits and letters
  ls "$B/runs" | sort -r | tail -n +$(($1 + 1)) | while read -r v_run; do
    case "$v_run" in *[!0-9a-f-]* | '') continue ;; esac
    ${2:+"$2" "$v_run"}
    rm -rf "$B/runs/$v_run"
  done
}
