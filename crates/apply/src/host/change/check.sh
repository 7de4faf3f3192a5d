# ---- checks --------------------------------------------------------------------------------
# Every fact that the plan relies on is checked before anything changes.
# Status 1: a fact has changed since the plan. Status 2: the change cannot be done here at all.
check_facts() {
  if [ "$T_MACHINE_ID" != - ]; then
    first_line "${TARSOPS_MACHINE_ID:-/etc/machine-id}"
    [ "$LINE" = "$T_MACHINE_ID" ] || { WHY="this is another machine than the one that was looked at"; return 1; }
  fi
  # A folder that this change gives to the run user may be open to others until then.
  [ -z "$RIGHTS_WHY" ] || [ "$T_OWN" = 1 ] || { WHY="$RIGHTS_WHY, so root does not work there: take that right away (chmod go-w), or have the folder belong to $T_USER"; return 2; }
  if [ "$T_FOLDER" = remove ] && [ -h "tars/$T_COMP" ]; then
    WHY="$T_INSTALL/tars/$T_COMP is a symbolic link: put the folder in its place, then it can be removed"; return 2
  fi
  if [ -n "$PROGRAM_UNSAFE" ]; then
    find_processes
    for u_p in $PIDS; do
      ours "$u_p" && [ "$O_UID" = 0 ] || continue
      WHY="$T_COMP runs as root, through links that others can change ($PROGRAM_UNSAFE): stop it by hand (pid $u_p), or have root own those folders"; return 2
    done
  fi
  look_at_files || { WHY="could not look at the files of $T_COMP"; return 2; }
  # A component is not stopped if it could not be started again.
  if [ "$T_RESTART/$T_HEALTH" = 1/1 ]; then
    [ -n "$T_UID" ] || [ "$T_MAKE_USER" = 1 ] || { WHY="the user $T_USER does not exist here: make it, or name the user that $T_COMP runs as (run_user)"; return 2; }
    if [ $IS_ROOT = 1 ] && [ "$T_UID" = 0 ]; then
      trusted "$T_INSTALL" || { WHY="$UNSAFE, so root does not run what lies there: give the folders on the way to root, or have $T_COMP run as their owner"; return 2; }
      [ -z "$COMPONENT_UID" ] || [ "$T_OWN$T_OWNERS_FROM" != 0 ] || { cannot_start_as_root; return 2; }
    elif [ $IS_ROOT = 1 ]; then
      has runuser || has su || { WHY="there is no runuser and no su here to start $T_COMP as $T_USER with (package util-linux)"; return 2; }
    fi
    can_start || { WHY="there is no util/start.sh to start $T_COMP with"; return 2; }
  fi
  n=0
  while read -r f_mode f_before f_after f_path <&3 && read -r f_now f_can f_owner <&4; do
    case "$f_now" in
      link) WHY="$f_path is a symbolic link, which is not replaced"; return 2 ;;
      unreadable) WHY="$f_path cannot be read by $T_USER, whose folder it lies in: give it to $T_USER"; return 2 ;;
      too-large) WHY="$f_path is larger than any program of the framework"; return 2 ;;
    esac
    [ "$f_now" = "$f_before" ] || { WHY="$f_path has changed since it was read"; return 1; }
    [ "$f_can" = 1 ] || [ "$T_OWN" = 1 ] || [ "$T_FOLDER" != keep ] || { WHY="the folder of $f_path cannot be written by $T_USER, who owns what is above it: give it to $T_USER"; return 2; }
    n=$((n + 1))
  done 3<"$STEP_DIR/files" 4<"$STEP_DIR/now"
  [ $n = $FILES_SEEN ] || { WHY="could not look at all files of $T_COMP"; return 2; }
  all_staged || while read -r f_mode f_before f_after f_path <&3; do
    [ "$f_after" = absent ] || [ "$f_after" = "$f_before" ] || check_staged "$f_after" "content of $f_path" || return 1
  done 3<"$STEP_DIR/files"
  if [ "$T_CRON_AFTER" != keep ]; then
    crontab_digest
    [ "$CRON_DIGEST" = "$T_CRON_BEFORE" ] || { WHY="the crontab of $T_CRON_USER has changed since it was read"; return 1; }
    [ "$T_CRON_AFTER" = absent ] || check_staged "$T_CRON_AFTER" crontab || return 1
  fi
  if [ "$T_FOLDER" != keep ]; then
    if [ -e "tars/$T_COMP" ] || [ -h "tars/$T_COMP" ]; then f_now=present; else f_now=absent; fi
    [ "$T_FOLDER/$f_now" != create/present ] || ! in_framework hollow "tars/$T_COMP" || f_now=absent
    [ "$T_FOLDER/$f_now" = remove/present ] || [ "$T_FOLDER/$f_now" = create/absent ] ||
      { WHY="the folder of $T_COMP is $f_now"; return 1; }
    if [ -n "$T_BACK_FROM" ] && { [ ! -d "$T_BACK_FROM" ] || [ -h "$T_BACK_FROM" ]; }; then
      WHY="the folder that was saved is not at $T_INSTALL/$T_BACK_FROM"; return 1
    fi
  fi
  [ -z "$T_OWNERS_FROM" ] || [ -r "$B/runs/$T_OWNERS_FROM/before/folders" ] || { WHY="the list of owners is not there any more"; return 1; }
}
look_at_files() { # writes the state of the files of this change to `now`, in their order
  set --
  while read -r f_mode f_before f_after f_path; do set -- "$@" "tars/$f_path"; done <"$STEP_DIR/files"
  FILES_SEEN=$#
  [ $# -gt 0 ] || { : >"$STEP_DIR/now"; return; }
  { AS_EXEC=1; in_component look "$@"; } | head -c 65536 >"$STEP_DIR/now"
}
# Whether every payload of this change is whole. All are read at once; where that says anything else, each is
# asked for by itself.
all_staged() {
  set -- ; s_ssl='' s_sum=
  while read -r f_mode f_before f_after f_path; do
    [ "$f_after" != absent ] && [ "$f_after" != "$f_before" ] || continue
    set -- "$@" "$B/stage/$f_after"
    s_ssl="$s_ssl$NL$f_after *$B/stage/$f_after" s_sum="$s_sum$NL$f_after  $B/stage/$f_after"
  done <"$STEP_DIR/files"
  [ $# -gt 0 ] || return 0
  # What these programs say of files that are whole.
  has openssl && s_all=$(openssl dgst -sha256 -r "$@" 2>/dev/null) && [ "$NL$s_all" = "$s_ssl" ] && return 0
  has sha256sum && s_all=$(sha256sum "$@" 2>/dev/null) && [ "$NL$s_all" = "$s_sum" ]
}
# A damaged payload is deleted, so that the next try sends it again.
check_staged() { # check_staged SHA WHAT
  sha "$B/stage/$1" 2>/dev/null; [ "$SHA" != "$1" ] || return 0
  rm -f "$B/stage/$1"
  WHY="the staged $2 is missing or damaged"
  return 1
}

