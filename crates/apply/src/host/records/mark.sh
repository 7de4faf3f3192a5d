# Marks that a restart of a component is pending, as its rows are about to change.
# R_COMPONENT   R_KEY: the run, or RUN.SUFFIX
mark_pending() {
  open_records
  set -e
  mark "$R_COMPONENT" "$R_KEY"
  echo kept
}
mark_pending </dev/null
