# Writes how a publication has ended.
# R_RUN R_STEP R_WORD R_TEXT R_HOLDER R_SUMMARY   R_KEEP: runs that stay
# R_SETTLED: key or until, empty where no marker changes   R_COMPONENT R_SETTLED_BY: then, as of unmark
conclude() {
  open_records
  set -e
  r_folder=$B/runs/$R_RUN/$R_STEP
  [ -d "$r_folder" ]
  [ -z "$R_SETTLED" ] || unmark "$R_COMPONENT" "$R_SETTLED" "$R_SETTLED_BY"
  put_file "$r_folder/verdict" "$R_WORD$NL$R_TEXT$NL" flush
  audit "$R_RUN" "$R_STEP" "$R_WORD" "$R_HOLDER" "$R_SUMMARY"
  prune_runs "$R_KEEP"
  echo kept
}
conclude </dev/null
