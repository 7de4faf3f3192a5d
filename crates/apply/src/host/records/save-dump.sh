# Moves a dump from the stage to its place, under the next number and with its digest beside it.
# R_DIGEST   R_KEEP: dumps that stay, the newest ones
# shellcheck disable=SC2012 # only names that are numbers count
dump_numbers() { ls "$r_folder" | sed -n 's/^0*\([0-9][0-9]*\)\.sql\.gz$/\1/p' | sort -n; }
save_dump() {
  open_records
  set -e
  r_staged=$B/stage/$R_DIGEST r_folder=$B/backups
  mkdir -p "$r_folder"
  r_number=$(dump_numbers | tail -n 1)
  r_name=$(printf '%04d.sql.gz' $((${r_number:-0} + 1)))
  r_file=$r_folder/$r_name
  if has gzip; then gzip -t <"$r_staged"; fi
  chmod 600 "$r_staged"
  { printf '%s  %s\n' "$R_DIGEST" "$r_name" >"$r_file.sha256" && mv "$r_staged" "$r_file"; } || {
    rm -f "$r_file" "$r_file.sha256"
    no_room "$r_file"
  }
  flush "$r_file"
  dump_numbers | sort -rn | tail -n +$((R_KEEP + 1)) | while read -r r_number; do
    r_name=$(printf '%04d.sql.gz' "$r_number")
    rm -f "$r_folder/$r_name" "$r_folder/$r_name.sha256"
  done
  echo "kept $r_file"
}
save_dump </dev/null
