# ---- crontab -------------------------------------------------------------------------------
# The crontab of the run user is part of the change. The guard line is in the crontab of whoever runs this
# script, which may be the same one.

# The guard stands first, so that settings of the crontab (SHELL=, PATH=) do not apply to it.
GUARD="* * * * * sh $B/guard.sh >/dev/null 2>&1 # tarsops-guard"
crontab_own() { crontab "$@"; }
crontab_user() { if [ $SAME_CRON = 1 ]; then crontab "$@"; else crontab -u "$T_CRON_USER" "$@"; fi; }
# A crontab that cannot be read is not an empty one. If it were taken for one, its lines would be lost.
read_crontab() { # read_crontab own|user: its text in CRONTAB; 1 if there is none, 2 if it cannot be read
  # A user who does not exist yet has none, and crontab(1) fails for that user.
  if [ "$1/$SAME_CRON" = user/0 ] && { [ "$T_CRON_USER" != "$T_USER" ] || [ -z "$T_UID" ]; } && ! id -u "$T_CRON_USER" >/dev/null 2>&1; then CRONTAB=; return 1; fi
  CRONTAB=$(crontab_"$1" -l 2>"$STEP_DIR/cron.err"; echo "x$?")
  c_status=${CRONTAB##*x}
  CRONTAB=${CRONTAB%x*}
  if [ "$c_status" = 0 ]; then
    # crontab(1) accepts no last line without a line end, which a file written by hand may have.
    case "$CRONTAB" in '' | *"$NL") ;; *) CRONTAB="$CRONTAB$NL" ;; esac
    # Debian's crontab -l prints a carriage return as `\r`. Written back, it would be part of a command.
    case "$CRONTAB" in *"\\r$NL"*) CRONTAB=$(printf '%s' "$CRONTAB" | sed "s/\\\\r\$/$(printf '\r')/"; echo x); CRONTAB=${CRONTAB%x} ;; esac
    return 0
  fi
  crontab_error; CRONTAB=$CRON_ERROR
  if no_crontab "$CRONTAB"; then CRONTAB=; return 1; fi
  note "could not read the crontab: $CRONTAB"; CRONTAB=; return 2
}
# The message of crontab(1) in one line, without its advice to read the manual.
crontab_error() { # in CRON_ERROR
  CRON_ERROR=
  [ ! -r "$STEP_DIR/cron.err" ] || while IFS= read -r c_line || [ -n "$c_line" ]; do
    case "$c_line" in 'See crontab('*) ;; *) CRON_ERROR="$CRON_ERROR$c_line " ;; esac
  done <"$STEP_DIR/cron.err"
}
crontab_failed() { crontab_error; WHY="$1: $CRON_ERROR"; }
# CRONTAB without the guards of all clusters, or without ours. Most texts have none, or ours as the first line.
without_guards() {
  case "$CRONTAB" in *'# tarsops-guard'*) printf '%s' "$CRONTAB" | sed '/# tarsops-guard$/d' ;; *) printf '%s' "$CRONTAB" ;; esac
}
# Earlier versions had their guard below the install path.
without_own_guard() {
  c_rest=${CRONTAB#"$GUARD$NL"}
  case "$c_rest" in
    *'# tarsops-guard'*) printf '%s' "$c_rest" | sed "\\| $B/guard\\.sh .*# tarsops-guard\$|d; \\| $T_INSTALL/\.tarsops/guard\\.sh .*# tarsops-guard\$|d" ;;
    *) printf '%s' "$c_rest" ;;
  esac
}
save_crontab() { # save_crontab FILE: the run user's, without guards; status as of read_crontab
  read_crontab user || return $?
  without_guards >"$1" || return 2
}
# A crontab that has only a guard counts as none.
# shellcheck disable=SC2034 # not every change compares crontabs
crontab_digest() { # in CRON_DIGEST: a sha256, absent or unknown
  save_crontab "$STEP_DIR/cron.now" && s_now=0 || s_now=$?
  CRON_DIGEST=absent
  case $s_now in
    0) [ ! -s "$STEP_DIR/cron.now" ] || { sha "$STEP_DIR/cron.now"; CRON_DIGEST=${SHA:-unknown}; } ;;
    1) ;;
    *) CRON_DIGEST=unknown ;;
  esac
}
write_crontab() { # write_crontab FILE|absent: becomes the run user's crontab; a guard in it stays
  if [ $SAME_CRON = 1 ] && [ "$GUARDED" = 1 ]; then printf '%s\n' "$GUARD" >"$STEP_DIR/cron.put" || return 1
  else : >"$STEP_DIR/cron.put" || return 1
  fi
  if [ "$1" != absent ]; then cat "$1" >>"$STEP_DIR/cron.put" || return 1
  elif [ ! -s "$STEP_DIR/cron.put" ]; then
    read_crontab user && w_there=0 || w_there=$?
    case $w_there in 0) crontab_user -r 2>"$STEP_DIR/cron.err"; return ;; 1) return 0 ;; *) return 1 ;; esac
  fi
  crontab_user "$STEP_DIR/cron.put" 2>"$STEP_DIR/cron.err"
}
# If this process dies, cron runs `recover`.
add_guard() {
  has crontab || return 0
  read_crontab own && HAD_CRONTAB=1 || [ $? = 1 ] || return 1
  # Whoever takes the guard out again has to know it.
  printf '%s\n' "HAD_CRONTAB=$HAD_CRONTAB" >>"$STEP_DIR/before/facts" || return 1
  { printf '%s\n' "$GUARD" && without_own_guard; } >"$STEP_DIR/cron.put" && crontab "$STEP_DIR/cron.put" 2>"$STEP_DIR/cron.err" && GUARDED=1
}
remove_guard() {
  has crontab || return 0
  GUARDED=0
  read_crontab own && g_there=0 || g_there=$?
  [ "$g_there" != 2 ] || return 1
  case "$CRONTAB" in *" $B/guard.sh "* | *" $T_INSTALL/.tarsops/guard.sh "*) ;; *) return 0 ;; esac
  without_own_guard >"$STEP_DIR/cron.put" || return 1
  # Where there was a crontab, even an empty one, there is one afterwards.
  if [ -s "$STEP_DIR/cron.put" ] || { [ "$HAD_CRONTAB" = 1 ] && [ "$SAME_CRON/$OUTCOME/$T_CRON_AFTER" != 1/new/absent ]; }
  then crontab "$STEP_DIR/cron.put"
  else crontab -r
  fi
}

