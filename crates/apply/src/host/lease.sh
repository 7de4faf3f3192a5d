# The cluster's lease, on the master. Sent on standard input; variables before it, quoted:
#   E_INSTALL E_CLUSTER E_RUN E_HOLDER E_TTL E_SPEC   E_MODE acquire | renew | release
# Time is the master's own. One controller at a time reads and writes it, under a lock.
#
# Answer: `tarsops-lease/1 word base64…`: ok, held (holder, run, age, ttl), lost, failed (why).

answer() { a_w=$1; shift; for a_t in "$@"; do a_w="$a_w $(printf '%s' "$a_t" | enc)"; done; printf 'tarsops-lease/1 %s\n' "$a_w"; exit 0; }
write_lease() { # write_lease RUN HOLDER TTL SPEC
  put_file "$B/lease" "run=$1${NL}holder=$2${NL}beat=$l_now${NL}ttl=$3${NL}spec=$4$NL" flush 2>/dev/null && flush "$B"
}
number() { # number TEXT: in N, 0 where it is none that a shell can count with
  case "$1" in '' | *[!0-9]* | 0* | ????????????????*) N=0 ;; *) N=$1 ;; esac
}
lease() {
  state_folder "$E_INSTALL" "$E_CLUSTER"
  no_room="could not write $B/lease: no space left or read-only"
  umask 077
  if [ "$E_MODE" = acquire ]; then make_state "$E_INSTALL" || answer failed "$STATE_WHY"
  else trusted "$B" || answer failed "$UNSAFE, so $B cannot be used"
  fi
  has flock || answer failed "the master has no flock (package util-linux)"
  # `exec` would end us without an answer.
  { true >>"$B/lease.lock"; } 2>/dev/null || answer failed "could not open $B/lease.lock"
  exec 8>>"$B/lease.lock"
  # A small flock knows no time limit.
  e_try=0
  until flock -n 8; do
    [ $? = 1 ] || answer failed "the flock of the master does not work (package util-linux)"
    e_try=$((e_try + 1)); [ $e_try -lt 50 ] || answer failed "somebody else works on the lease"
    nap 0.2
  done
  l_run='' l_holder='' l_beat=0 l_ttl=0 l_spec=
  if [ -r "$B/lease" ]; then
    while IFS= read -r l_line; do
      case "$l_line" in
        run=*) l_run=${l_line#run=} ;; holder=*) l_holder=${l_line#holder=} ;;
        beat=*) l_beat=${l_line#beat=} ;; ttl=*) l_ttl=${l_line#ttl=} ;; spec=*) l_spec=${l_line#spec=} ;;
      esac
    done <"$B/lease"
  fi
  if [ "$E_MODE" = release ]; then
    [ "$l_run" != "$E_RUN" ] || rm -f "$B/lease"
    answer ok
  fi
  number "$l_beat"; l_beat=$N
  number "$l_ttl"; l_ttl=$N
  number "$(date +%s)"; l_now=$N
  [ "$l_now" != 0 ] || answer failed "the master does not know the time"
  l_age=$((l_now - l_beat))
  case "$E_MODE" in
    acquire)
      if [ -n "$l_run" ] && [ "$l_run" != "$E_RUN" ] && [ $l_age -le "$l_ttl" ]; then
        # A beat from the future means that the clock was set back. It counts as fresh, not as
        # ancient; but from now on, or a dead holder would keep the lease until that day.
        if [ $l_age -lt 0 ]; then write_lease "$l_run" "$l_holder" "$l_ttl" "$l_spec" || answer failed "$no_room"; l_age=0; fi
        answer held "$l_holder" "$l_run" "$l_age" "$l_ttl"
      fi
      write_lease "$E_RUN" "$E_HOLDER" "$E_TTL" "$E_SPEC" || answer failed "$no_room" ;;
    renew)
      [ "$l_run" = "$E_RUN" ] || answer lost "$l_holder" "$l_run"
      write_lease "$E_RUN" "$E_HOLDER" "$E_TTL" "$E_SPEC" || answer failed "$no_room" ;;
  esac
  answer ok
}
lease </dev/null
