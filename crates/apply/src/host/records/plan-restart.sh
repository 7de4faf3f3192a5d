# Writes the intent to restart a component, and marks that the restart is pending.
# R_RUN R_STEP R_INTENT R_COMPONENT
plan_restart() {
  open_records
  set -e
  r_folder=$B/runs/$R_RUN/$R_STEP
  stop_if_fenced "$R_RUN"
  mkdir -p "$r_folder"
  raise_fence "$R_RUN"
  put_file "$r_folder/intent" "$R_INTENT"
  flush "$r_folder/intent" "$r_folder"
  mark "$R_COMPONENT" "$R_RUN"
  echo kept
}
plan_restart </dev/null
