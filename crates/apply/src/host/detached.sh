# ---- what every change that runs detached has -------------------------------------------------
# Needs T_RUN, T_STEP, STEP_DIR and B. A change defines `begin`, `recover`, `read_facts`, `clean_up` and
# `interrupted`, and enters by `enter`.

# A line of the log. date(1) runs once; from then on the seconds since boot count.
NOTE_FROM=
note() {
  read -r n_up _ </proc/uptime
  n_up=${n_up%.*}
  if [ -z "$NOTE_FROM" ]; then
    n_time=$(date -u +%H:%M:%S)
    # A number that begins with 0 is octal.
    case "$n_time" in
      ??:??:??) n_s=${n_time##*:} n_m=${n_time#*:}; n_m=${n_m%:*} n_h=${n_time%%:*}; NOTE_FROM=$((${n_h#0} * 3600 + ${n_m#0} * 60 + ${n_s#0} - n_up)) ;;
      *) printf '%s\n' "$*"; return ;;
    esac
  fi
  n_s=$((NOTE_FROM + n_up))
  printf '%02d:%02d:%02d %s\n' $((n_s / 3600 % 24)) $((n_s / 60 % 60)) $((n_s % 60)) "$*"
}
read_clock() { # NOW: hundredths of a second since boot, which nobody can set
  read -r c_up _ </proc/uptime
  NOW=$((${c_up%.*} * 100 + 1${c_up#*.} - 100))
}
# It is on disk afterwards. A full disk may have room a moment later, so there is more than one try.
write_line() { # write_line FILE TEXT [OTHER]: OTHER, a file that is there already, comes on disk before it
  for _ in 1 2 3; do
    printf '%s\n' "$2" >"$1.new.$$" && flush "$1.new.$$" ${3:+"$3"} && mv -f "$1.new.$$" "$1" && flush "${1%/*}" && return 0
    rm -f "$1.new.$$"
    nap 0.2
  done
  return 1
}
# The phases that the change has reached, a line each: the last whole line counts. A line is added in one piece.
set_phase() { # set_phase WORD
  printf '%s\n' "$1" >>"$STEP_DIR/phase" && flush "$STEP_DIR/phase" || write_line "$STEP_DIR/phase" "$1"
}
read_phase() { # in PHASE
  PHASE=
  [ ! -r "$STEP_DIR/phase" ] || while IFS= read -r r_line; do PHASE=$r_line; done <"$STEP_DIR/phase"
}
# Nothing has been changed.
refuse() { # refuse [WORD] TEXT
  [ $# = 2 ] || set -- refused "$1"
  note "$1: $2"
  write_line "$STEP_DIR/verdict" "$1$NL$2" || note "could not write the verdict"
  exit 0
}
take_lock() { # take_lock act|recover|accept: ends the script if another one works on this host
  true >>"$B/lock" || exit 1
  exec 9>>"$B/lock"
  w=0
  # A look holds the lock for a moment, so there is more than one try.
  until flock -n 9; do
    if [ $? != 1 ]; then [ "$1" = act ] || exit 1; refuse "the flock of this host does not work (package util-linux)"; fi
    first_line "$B/lock.owner"
    # This change was started twice, after a broken connection. The first one continues.
    [ "$LINE" != "$T_RUN $T_STEP" ] || [ $w -lt 5 ] || exit 0
    w=$((w + 1))
    [ $w -lt 25 ] || { [ "$1" = act ] || exit 0; refuse busy "another change is at work on this host"; }
    nap 0.2
  done
}
enter() { # enter act|recover|accept
  take_lock "$1"
  first_line "$B/current"
  IS_CURRENT=0; [ "$LINE" != "$T_RUN $T_STEP" ] || IS_CURRENT=1
  if [ -f "$STEP_DIR/verdict" ]; then
    first_line "$STEP_DIR/verdict"
    [ "$1" = act ] || [ $IS_CURRENT = 0 ] || { note "tidy up"; read_facts; clean_up "$LINE"; }
    exit 0
  fi
  # Whoever started it has called it off.
  [ -f "$STEP_DIR/intent" ] || exit 0
  { printf '%s\n' "$T_RUN $T_STEP" >"$B/lock.owner"; } 2>/dev/null || [ "$1" != act ] || refuse "could not write below $B: no space left or read-only"
  if [ "$1" = act ]; then begin; else recover "$1"; fi
}
# Finds in PHASE where the change was cut off. Ends the script if it had not begun.
begin_recovery() {
  read_facts
  read_phase
  if [ -z "$PHASE" ]; then
    [ $IS_CURRENT = 0 ] || rm -f "$B/current"
    remove_guard
    refuse "it had not begun when it ended"
  fi
  GUARDED=1
  trap : HUP TERM INT
  note "recover from phase $PHASE"
}
# Ends the script unless it is the turn of this change.
check_turn() {
  check_fence "$T_RUN"
  case $? in 1) refuse fenced "$FENCE_WHY" ;; 2) refuse "$FENCE_WHY" ;; esac
  first_line "$B/current"
  if [ -n "$LINE" ]; then
    # This change was begun before and cut off, so `recover` ends it.
    [ $IS_CURRENT = 0 ] || exit 0
    c_dir=$B/runs/${LINE% *}/${LINE#* } c_name=${LINE% *}/${LINE#* }
    first_line "$c_dir/verdict"
    case "$LINE" in '' | stuck) refuse "the change $c_name on this host has not ended" ;; esac
    # It has ended, but for its cleanup.
    rm -f "$B/current"
  fi
  first_line "$STEP_DIR/expires"
  # shellcheck disable=SC2086 # two words
  [ -z "$LINE" ] || ! late $LINE || refuse late "it began after its time, or after the host was started again: the lease may be another run's by now"
  no_room="could not write below $B: no space left or read-only"
  # The look of this step has raised the fence already, as a rule.
  [ "$FENCE" = "$T_RUN" ] || write_line "$B/fence" "$T_RUN" || refuse "$no_room"
}
# From here on the host ends this change by itself.
take_over() {
  add_guard || { crontab_failed "could not put the guard into the crontab"; refuse "$WHY"; }
  # Nobody else writes these, and nothing is changed before they are on disk.
  { printf '%s\n' "$T_RUN $T_STEP" >"$B/current" && printf 'acting\n' >"$STEP_DIR/phase" &&
    flush "$STEP_DIR"/before/* "$STEP_DIR/before" "$B/current" "$STEP_DIR/phase" "$B" "$STEP_DIR"; } || { rm -f "$STEP_DIR/phase" "$B/current"; remove_guard; refuse "$no_room"; }
  trap interrupted TERM INT
  trap : HUP
}

