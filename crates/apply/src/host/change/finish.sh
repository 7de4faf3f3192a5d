# ---- the end -------------------------------------------------------------------------------
# The verdict comes before the cleanup, which `recover` can do as well.
finish() { # finish WORD TEXT
  [ "$1" != stuck ] || note "stuck: $2"
  # What has a script before this one been at its end, it has said so already.
  { [ "$MODE" != act ] && grep -qF "	$T_RUN	$T_STEP	$1	" "$B/audit.log" 2>/dev/null; } ||
    audit "$T_RUN" "$T_STEP" "$1" "$T_HOLDER" "$T_SUMMARY"
  # It makes room at once.
  [ ! -e "$STEP_DIR/before/ballast" ] || : >"$STEP_DIR/before/ballast"
  [ "$1" = stuck ] || in_component tidy "tars/$T_COMP" || in_component tidy "tars/$T_COMP"
  # Without a verdict the guard stays and tries again in a minute.
  write_line "$STEP_DIR/verdict" "$1$NL$2" "$B/audit.log" || { note "could not write the verdict: $1"; return 1; }
  note "verdict: $1"
  clean_up "$1"
}
# After `stuck` the change stays the current one: it has not ended.
clean_up() { # clean_up WORD
  case "$1" in ok | failed) OUTCOME=new ;; *) OUTCOME=old ;; esac
  if [ "$1" != stuck ]; then
    # The environment may contain secrets, and only an undo that has not ended needs it.
    set -- "$STEP_DIR/before/environ" "$STEP_DIR/before/ballast" "$STEP_DIR/now"
    while read -r f_mode f_before f_after f_path; do case "$f_after" in absent) ;; *) set -- "$@" "$B/stage/$f_after" ;; esac; done <"$STEP_DIR/files"
    case "$T_CRON_AFTER" in keep | absent) ;; *) set -- "$@" "$B/stage/$T_CRON_AFTER" ;; esac
    # In this order: the change is the current one until all else is gone.
    rm -f "$@" "$B/current" || rm -f "$B/current" || return 0
  fi
  remove_guard || { nap 0.2; remove_guard; } || note "could not take the guard out of the crontab: it does so itself"
  rm -f "$STEP_DIR"/cron.now "$STEP_DIR"/cron.put "$STEP_DIR"/cron.err
}
# The digest of the new program, so that the next look need not read it again.
remember_digest() {
  r_f=tars/$T_COMP/bin/$T_COMP
  [ ! -h "$r_f" ] || return 0
  r_d=
  while read -r f_mode f_before f_after f_path; do [ "$f_path" != "$T_COMP/bin/$T_COMP" ] || r_d=$f_after; done <"$STEP_DIR/files"
  case "$r_d" in '' | absent) return 0 ;; esac
  r_key=$(TZ=UTC0 stat -c '%d:%i:%s:%y:%z' "$r_f" 2>/dev/null)
  # The look writes it in one word.
  set -f
  # shellcheck disable=SC2086 # its words
  set -- $r_key
  set +f
  r_ifs=$IFS; IFS=_; r_key="$*"; IFS=$r_ifs
  [ -n "$r_key" ] && printf '%s %s\n' "$r_key" "$r_d" >"$B/digests.new" && mv -f "$B/digests.new" "$B/digests"
}
# A folder that a run removed is beside the component's; it goes with the records that could bring it back.
delete_removed_folders() { # delete_removed_folders RUN
  for d_folder in "$B/runs/$1"/*; do
    d_folder=tars/.tarsops/$1.${d_folder##*/}
    [ -d "$d_folder" ] && [ ! -h "$d_folder" ] || continue
    ( tree_rights "$T_INSTALL" "$T_USER" tars tars/.tarsops "$d_folder"; COMPONENT_UID=$AS_UID COMPONENT_GID=$AS_GID AS_HOW=; delete_folder "$d_folder" )
  done
}
prune() {
  prune_runs "$T_KEEP" delete_removed_folders
  # Payloads that no run took.
  for p_left in "$B"/stage/*; do
    [ ! -e "$p_left" ] || find "$B/stage" -type f -mtime +1 -exec rm -f {} + 2>/dev/null
    break
  done
}
# A failed change is undone, or left as it is if the policy says so.
undo_or_leave() { # undo_or_leave act|recover|signal
  case "$T_ON_FAILURE/$1" in
    stop/act) finish failed "$WHY; left as it is, as on_failure: stop says"; return ;;
    # This was a rollback; the state that it replaced has failed as well.
    caller/act) finish failed "$WHY"; return ;;
  esac
  u_why=$WHY
  note "put the old state back: $u_why"
  rm -f "$STEP_DIR/before/ballast"
  in_component free "tars/$T_COMP"
  set_phase undoing || :
  # Each part can be done again, so there is more than one try.
  if undo || { nap 0.2; undo; } || { nap 0.2; undo; }; then finish rolled-back "$u_why"
  else finish stuck "$u_why; and the old state could not be put back whole: ${WHY:-see the log}"
  fi
}
# A signal makes the change fail. The trap is `:` and not '', as programs that are started inherit ignored signals.
interrupted() { trap : TERM INT HUP; WHY="the change was told to stop by a signal"; undo_or_leave signal; exit 0; }

