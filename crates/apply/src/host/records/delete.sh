# Deletes the records of a step that changed nothing.
# R_RUN R_STEP   R_NAME: the file of its rows
delete_record() {
  open_records
  rm -rf "$B/runs/$R_RUN/$R_STEP"
  rmdir "$B/runs/$R_RUN" 2>/dev/null
  rm -f "$B/rows/$R_NAME" "$B/rows/$R_NAME".new.*
  rmdir "$B/rows" 2>/dev/null
  echo gone
}
delete_record </dev/null
