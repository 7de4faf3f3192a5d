# Removes what is settled from the marker of a pending restart.
# R_COMPONENT   R_SETTLED: key or until   R_SETTLED_BY: the key or the run
unmark_settled() {
  open_records
  set -e
  unmark "$R_COMPONENT" "$R_SETTLED" "$R_SETTLED_BY"
  echo kept
}
unmark_settled </dev/null
