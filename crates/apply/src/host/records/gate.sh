# Writes beside the verdict of a change what the run made of it after the host was healthy.
# R_RUN R_STEP R_GATE
write_gate() {
  open_records
  set -e
  r_step=$B/runs/$R_RUN/$R_STEP
  [ -d "$r_step" ]
  put_file "$r_step/gate" "$R_GATE"
  echo kept
}
write_gate </dev/null
