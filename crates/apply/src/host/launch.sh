# Puts a change beside its data on the host, starts it detached and waits for its verdict.
# Sent on standard input of `sh -s`; variables stand before it, quoted:
#   L_INSTALL L_CLUSTER L_RUN L_STEP  where       L_ENV L_FILES L_INTENT  data of the change
#   L_CHANGE L_TREE L_GUARD the scripts           stage_texts() stages small texts
#   stage_saved()           stages before-images of earlier changes
#   L_EXPIRES               boot id, and hundredths of a second since that boot after which it does not begin
#   L_MODE                  start | wait | recover | accept
# Starting twice is harmless, even at the same time: files are put in place whole, and the change
# itself holds the lock and writes one verdict.
#
# Answer: `tarsops-change/2`, `verdict word text`, the end of the log in lines with a `+` before them, `end`; or
# `lost` where nobody works on it and no verdict came.

end_as() { printf 'tarsops-change/2\nverdict %s %s\nend\n' "$1" "${2%%"$NL"*}"; exit 0; }
refuse() { end_as refused "$1"; }
no_room() { rm -rf "$D/new.$$"; refuse "could not write below $B: no space left or read-only"; }
# What a change needs is written into a folder of this script first, and moved to its place from there.
stage() { # stage SHA TEXT
  [ -f "$B/stage/$1" ] || { printf '%s' "$2" >"$N/stage/$1"; } 2>/dev/null || no_room
}
stage_before() { # stage_before SHA PATH: what an earlier change saved
  [ ! -f "$B/stage/$1" ] || return 0
  [ -r "$B/runs/$2" ] || { rm -rf "$N"; refuse "the before-image $2 is not there any more"; }
  cp -p "$B/runs/$2" "$N/stage/$1" 2>/dev/null || no_room
}
place_stage() { # place_stage FILE…
  [ ! -e "$1" ] || mv -f "$@" "$B/stage/"
}
log_end() { # prints the end of the log
  l_all=$(tail -n 20 "$D/log" 2>/dev/null)
  set -f; l_ifs=$IFS; IFS=$NL
  for l_line in $l_all; do printf '+%s\n' "$l_line"; done
  IFS=$l_ifs; set +f
}
# Whether somebody works on the host; a lock that cannot be opened is held by nobody.
busy() { [ -e "$B/lock" ] && { flock -n "$B/lock" true 2>/dev/null; [ $? = 1 ]; }; }
launch() {
  state_folder "$L_INSTALL" "$L_CLUSTER"
  l_placed=0
  D=$B/runs/$L_RUN/$L_STEP
  # The lease may be another's by then. Nothing is made before this is known.
  # shellcheck disable=SC2086 # two words
  if [ "$L_MODE" = start ] && [ ! -f "$D/change.sh" ] && [ -n "$L_EXPIRES" ] && late $L_EXPIRES; then
    end_as late "it arrived after its time, or after the host was started again: the lease may be another run's by now"
  fi
  make_state "$L_INSTALL" || refuse "$STATE_WHY"
  if [ "$L_MODE" = start ] && [ ! -f "$D/verdict" ] && [ ! -f "$D/change.sh" ]; then
    has setsid && has flock || refuse "the host lacks setsid or flock (package util-linux)"
    umask 077
    N=$D/new.$$
    mkdir -p "$N/stage" "$B/stage" 2>/dev/null || refuse "could not make $D: no space left, read-only, or no right to"
    stage_texts
    stage_saved
    # The change itself comes last: it is there only with all that it needs.
    { printf '%s' "$L_ENV" >"$N/env" && printf '%s' "$L_FILES" >"$N/files" && printf '%s' "$L_INTENT" >"$N/intent" &&
      printf '%s' "$L_EXPIRES" >"$N/expires" && printf '%s' "$L_GUARD" >"$N/guard.sh" && printf '%s' "$L_TREE" >"$N/tree.sh" &&
      printf '%s' "$L_CHANGE" >"$N/change.sh" && place_stage "$N"/stage/* && mv -f "$N/guard.sh" "$B/guard.sh" &&
      mv -f "$N/env" "$N/files" "$N/intent" "$N/expires" "$N/tree.sh" "$N/change.sh" "$D/"; } 2>/dev/null || no_room
    rmdir "$N/stage" "$N" 2>/dev/null
    flush "$D/change.sh" "$D/tree.sh" "$D/env" "$D/files" "$D/intent" "$D/expires" "$B/guard.sh" "$D" "${D%/*}" "$B/runs" "$B" "${B%/*}"
    l_placed=1
  fi
  [ -f "$D/change.sh" ] || end_as unknown "the host knows no change $L_RUN/$L_STEP"
  # What is stuck is tried again when somebody asks for it.
  first_line "$D/verdict"
  case "$L_MODE/$LINE" in recover/stuck | accept/stuck) busy || mv -f "$D/verdict" "$D/verdict.stuck" ;; esac
  if [ ! -f "$D/verdict" ]; then
    case "$L_MODE" in
      start)
        [ $l_placed = 1 ] || put_file "$D/expires" "$L_EXPIRES" 2>/dev/null || no_room
        setsid sh "$D/change.sh" act </dev/null >>"$D/log" 2>&1 & ;;
      recover | accept) setsid sh "$D/change.sh" "$L_MODE" </dev/null >>"$D/log" 2>&1 & ;;
    esac
  fi
  # A change says that it has the lock, and holds it to its end. One program sleeps until then.
  l_idle=0 l_free=0
  while [ ! -f "$D/verdict" ]; do
    first_line "$B/lock.owner"
    if [ "$LINE" = "$L_RUN $L_STEP" ]; then ! await_lock || l_free=1; [ ! -f "$D/verdict" ] || break; fi
    l_free=0
    if [ $l_idle -lt 3 ]; then nap 0.1; else nap 0.2; fi
    # A free lock means that nobody works on it; ask for a while, as it may be about to begin.
    if [ $l_idle -ge 3 ] && busy; then l_idle=3; else l_idle=$((l_idle + 1)); fi
    [ $l_idle -gt 43 ] || continue
    first_line "$B/current"
    if [ "$L_MODE" != wait ] && [ ! -e "$D/phase" ] && [ "$LINE" != "$L_RUN $L_STEP" ] && call_off; then
      refuse "it ended before it began: $(tail -n 1 "$D/log" 2>/dev/null)"
    fi
    printf 'tarsops-change/2\nlost\n'; log_end; echo end
    return
  done
  # The tidying after the verdict: wait for it, or have it done where it was cut off.
  l_idle=0
  while [ $l_free = 0 ] && busy && [ $l_idle -lt 50 ]; do nap 0.1; l_idle=$((l_idle + 1)); done
  first_line "$B/current"
  if [ "$LINE" = "$L_RUN $L_STEP" ] && ! busy; then setsid sh "$D/change.sh" recover </dev/null >>"$D/log" 2>&1; fi
  l_word='' l_text=
  { IFS= read -r l_word; IFS= read -r l_text; } <"$D/verdict"
  printf 'tarsops-change/2\nverdict %s %s\n' "${l_word%% *}" "$l_text"; log_end; echo end
}
# Whether nobody has the lock any more. Others may wait in the same way.
await_lock() { ( flock -s 7 ) 7<"$B/lock" 2>/dev/null; }
call_off() { # so that a start that is late does not begin after we said that it did not
  ( flock -n 7 && [ ! -e "$D/phase" ] && [ ! -e "$D/verdict" ] && rm -f "$D/intent" ) 7>>"$B/lock" 2>/dev/null
}
launch </dev/null
exit 0
