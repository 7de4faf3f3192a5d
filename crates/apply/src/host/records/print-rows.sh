# Prints rows that were saved, nothing where there are none. R_NAME
print_rows() {
  open_records
  [ ! -e "$B/rows/$R_NAME" ] || cat "$B/rows/$R_NAME"
}
print_rows </dev/null
