# Deletes a dump that could not be saved. R_DIGEST
delete_dump() {
  open_records
  rm -f "$B/stage/$R_DIGEST" "$B/stage/$R_DIGEST".part.*
  rmdir "$B/backups" 2>/dev/null
  echo gone
}
delete_dump </dev/null
