# Saves the program that a publication replaces, and the intent. Without another word than `kept` nothing
# may be published.
# R_RUN R_STEP R_INTENT R_RUN_USER R_COMPONENT   R_PROGRAM: its path below the install path
# R_BEFORE: its sha256, or absent            R_MARK: the run, where a restart is pending from now on
save_program() {
  open_records
  set -e
  r_folder=$B/runs/$R_RUN/$R_STEP
  stop_if_fenced "$R_RUN"
  cd "$R_INSTALL"
  tree_rights "$R_INSTALL" "$R_RUN_USER" tars "tars/$R_COMPONENT" "tars/$R_COMPONENT/bin"
  # Where anybody can write, the rights of nobody in particular are enough to read.
  [ -z "$AS_WHY" ] || AS_UID=65534 AS_GID=65534
  mkdir -p "$r_folder/before"
  r_now=absent
  if [ -f "$R_PROGRAM" ]; then
    if [ -z "$AS_UID" ]; then cat "$R_PROGRAM"; else as_user 300 cat "$R_PROGRAM"; fi | head -c "$SIZE_LIMIT" >"$r_folder/before/1"
    sha "$r_folder/before/1"
    r_now=$SHA
    r_meta=$(stat -c '%a %u:%g' "$R_PROGRAM")
    printf '%s\n' "$r_meta" >"$r_folder/before/1.meta"
  fi
  if [ "$r_now" != "$R_BEFORE" ]; then
    rm -rf "$r_folder"
    echo "moved $R_PROGRAM has changed since it was read"
    return 0
  fi
  [ "$r_now" = absent ] || flush "$r_folder/before/1" "$r_folder/before/1.meta" "$r_folder/before" "$r_folder"
  raise_fence "$R_RUN"
  put_file "$r_folder/intent" "$R_INTENT" flush
  [ -z "$R_MARK" ] || mark "$R_COMPONENT" "$R_MARK"
  echo kept
}
save_program </dev/null
