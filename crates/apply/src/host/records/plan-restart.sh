# Writes the intent to restart a component, and marks that the restart is pending.
# R_RUN R_STEP R_INTENT R_COMPONENT
plan_restart() {
  open_records
  set -e
  r_step=$B/runs/$R_RUN/$R_STEP
  stop_if_fenced "$R_RUN"
  mkdir -p "$r_step"
  raise_fence "$R_RUN"
  put_file "$r_step/intent" "$R_INTENT"
  flush "$r_step/intent" "$r_step"
  mark "$R_COMPONENT" "$R_RUN"
  echo kept
}
plan_restart </dev/null
