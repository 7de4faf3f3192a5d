# Writes the intent of a step on the database, and its verdict where it has ended.
# R_RUN R_STEP R_INTENT   R_VERDICT: empty until then   R_KEEP: runs that stay
write_record() {
  open_records
  set -e
  r_folder=$B/runs/$R_RUN/$R_STEP
  mkdir -p "$r_folder"
  put_file "$r_folder/intent" "$R_INTENT" flush
  if [ -n "$R_VERDICT" ]; then
    put_file "$r_folder/verdict" "ok$NL$R_VERDICT$NL" flush
    prune_runs "$R_KEEP"
  fi
  echo kept
}
write_record </dev/null
