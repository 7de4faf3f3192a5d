# Saves the labels of a node over its registration, or deletes what was saved.
# R_LABELS   R_FORGET: 1 to delete
keep_labels() {
  open_records
  set -e
  if [ "$R_FORGET" = 1 ]; then rm -f "$B/labels"; else put_file "$B/labels" "$R_LABELS" flush; fi
  echo kept
}
keep_labels </dev/null
