# The cluster's lease, on the master. Sent on standard input; variables before it, quoted:
#   E_INSTALL E_RUN E_HOLDER E_TTL E_SPEC   E_MODE acquire | renew | release
# Time is the master's own. One controller at a time reads and writes it, under a lock.
#
# Answer: `tarsops-lease/1 word base64…`: ok, held (holder, run, age, ttl), lost, failed (why).

enc() { if command -v base64 >/dev/null 2>&1; then base64 | tr -d '\n'; else openssl base64 -A; fi; }
answer() { a_w=$1; shift; for a_t in "$@"; do a_w="$a_w $(printf '%s' "$a_t" | enc)"; done; printf 'tarsops-lease/1 %s\n' "$a_w"; exit 0; }
flush() { sync "$@" 2>/dev/null || sync; }
write_lease() {
  printf 'run=%s\nholder=%s\nbeat=%s\nttl=%s\nspec=%s\n' "$E_RUN" "$E_HOLDER" "$(date +%s)" "$E_TTL" "$E_SPEC" >"$B/lease.new" &&
    flush "$B/lease.new" && mv -f "$B/lease.new" "$B/lease"
}
lease() {
  PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  B=$E_INSTALL/.tarsops
  umask 077
  if [ "$E_MODE" = acquire ]; then
    [ -d "$E_INSTALL" ] || ( umask 022; mkdir -p "$E_INSTALL" ) 2>/dev/null || answer failed "could not make $E_INSTALL: read-only, or no right to"
    mkdir -p "$B" 2>/dev/null || answer failed "could not make $B: no space left, read-only, or no right to"
  fi
  command -v flock >/dev/null 2>&1 || answer failed "the master has no flock (package util-linux)"
  exec 8>>"$B/lease.lock" || answer failed "could not open $B/lease.lock"
  flock -w 10 8 || answer failed "somebody else works on the lease"
  l_run= l_holder= l_beat=0 l_ttl=0
  if [ -r "$B/lease" ]; then
    while IFS= read -r l_line; do
      case "$l_line" in
        run=*) l_run=${l_line#run=} ;; holder=*) l_holder=${l_line#holder=} ;;
        beat=*) l_beat=${l_line#beat=} ;; ttl=*) l_ttl=${l_line#ttl=} ;;
      esac
    done <"$B/lease"
  fi
  case "$l_beat$l_ttl" in *[!0-9]*) l_beat=0 l_ttl=0 ;; esac
  l_age=$(($(date +%s) - l_beat))
  # A beat from the future means that the clock was set back: count it as fresh, not as ancient.
  [ $l_age -ge 0 ] || l_age=0
  case "$E_MODE" in
    acquire)
      if [ -n "$l_run" ] && [ "$l_run" != "$E_RUN" ] && [ $l_age -le "$l_ttl" ]; then answer held "$l_holder" "$l_run" "$l_age" "$l_ttl"; fi
      write_lease || answer failed "could not write $B/lease: no space left or read-only" ;;
    renew)
      [ "$l_run" = "$E_RUN" ] || answer lost "$l_holder" "$l_run"
      write_lease || answer failed "could not write $B/lease: no space left or read-only" ;;
    release)
      [ "$l_run" != "$E_RUN" ] || rm -f "$B/lease" ;;
  esac
  answer ok
}
lease </dev/null
exit 0
