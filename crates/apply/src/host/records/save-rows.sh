# Writes rows that are about to be deleted into a file of their own. R_NAME R_ROWS
save_rows() {
  open_records
  set -e
  r_file=$B/rows/$R_NAME
  mkdir -p "$B/rows"
  put_file "$r_file" "$R_ROWS" flush || no_room "$r_file"
  echo "kept $r_file"
}
save_rows </dev/null
