# Writes beside the verdict of a change what the run made of it after the host was healthy.
# R_RUN R_STEP R_GATE
write_gate() {
  open_records
  set -e
  r_folder=$B/runs/$R_RUN/$R_STEP
  [ -d "$r_folder" ]
  put_file "$r_folder/gate" "$R_GATE"
  echo kept
}
write_gate </dev/null
