# shellcheck disable=SC2317 # no script calls every function of this file
# shellcheck disable=SC2015 # in `A && B || C` it is meant that C also runs if B fails
# What every script on a host begins with: its environment, where tarsops keeps its own files there,
# whether a path can be trusted, and how to act with the rights of a lesser user.
#
# Root works on a path only if every folder on the way belongs to root and nobody else can put names
# into it. Everything else is done with the rights of the user who could put names there.

# The login files of a host may set anything. What changes how a shell or a program reads or answers goes,
# so that each script has the same environment everywhere. What is for programs in general stays, as the
# framework is started with it: TZ, TMPDIR, LANG. No script depends on those.
set +Cefuvx
unalias -a 2>/dev/null || :
unset CDPATH ENV BASH_ENV BASH_COMPAT BASH_XTRACEFD GLOBIGNORE TMOUT POSIXLY_CORRECT _POSIX2_VERSION
unset GREP_OPTIONS GREP_COLOR GREP_COLORS QUOTING_STYLE TIME_STYLE COLUMNS LS_COLORS LS_BLOCK_SIZE BLOCKSIZE BLOCK_SIZE DF_BLOCK_SIZE GZIP
# A bash gets functions and options of its own from its environment too.
if [ -n "${BASH_VERSION:-}" ]; then
  # shellcheck disable=SC3040 # only bash gets here
  set -o posix
  # shellcheck disable=SC3045 # only bash gets here
  export -n POSIXLY_CORRECT SHELLOPTS BASHOPTS 2>/dev/null || :
  # shellcheck disable=SC3044 # only bash gets here
  shopt -u nocasematch nullglob failglob dotglob 2>/dev/null || :
  # shellcheck disable=SC3044 # only bash gets here
  for e_name in $(declare -F); do case "$e_name" in -*) ;; *) unset -f "$e_name" 2>/dev/null || : ;; esac; done
  unset e_name
fi
IFS=" 	
"
NL='
'
umask 022
LC_ALL=C; export LC_ALL
# No program is taken from wherever we happen to be.
case ":$PATH:" in *::* | *:[!/]*) PATH=/usr/local/bin ;; esac
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
has() { command -v "$1" >/dev/null 2>&1; }
# Runs a program that may hang, as df(1) does on a dead mount. Its status is 137 where that took too long.
bounded() { # bounded SECONDS PROGRAM WORD…
  [ -n "${S_BOUND:-}" ] || find_bound
  b_limit=$1; shift
  if [ "$S_BOUND" != none ]; then $S_BOUND "$b_limit" "$@"; return; fi
  "$@" & b_pid=$!
  ( sleep "$b_limit"; kill -KILL "$b_pid" ) </dev/null >/dev/null 2>&1 & b_guard=$!
  wait "$b_pid"; b_status=$?
  kill "$b_guard" 2>/dev/null
  return "$b_status"
}
# By a try, as a small timeout(1) may read its words in another way.
find_bound() { S_BOUND="timeout -s KILL"; $S_BOUND 9 true 2>/dev/null || S_BOUND=none; }
# Puts files, or the entries of a folder, on disk; an old sync(1) takes no names and syncs it all.
flush() { sync "$@" 2>/dev/null || sync; }
enc() { if has base64; then base64 | tr -d "\n"; else openssl base64 -A; fi; }
# A small sleep(1) takes whole seconds only.
nap() { sleep "$1" 2>/dev/null || sleep 1; }
first_line() { # first_line FILE: in LINE, empty where there is none
  LINE=; [ ! -r "$1" ] || read -r LINE <"$1" || :
}
# Replaces a small file whole. Two scripts may do so at the same time, so each has a name of its own for
# the new file. With `flush` the text is on disk before the file has it.
put_file() { # put_file FILE TEXT [flush]
  printf '%s' "$2" >"$1.new.$$" && { [ $# = 2 ] || flush "$1.new.$$"; } && mv -f "$1.new.$$" "$1" && return 0
  rm -f "$1.new.$$"
  return 1
}

# crontab(1) has no status of its own for a user who has no crontab.
no_crontab() { # no_crontab MESSAGE
  case "$1" in *[Nn]'o crontab'* | *"can't open"*'No such file'*) ;; *) return 1 ;; esac
}

# The id of a run is 13 digits, the milliseconds since 1970, then `-` and six hexadecimal digits.
newer_run() { # newer_run A B: whether A is the newer one
  [ "${1%%-*}" != "${2%%-*}" ] || { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort | tail -n 1)" = "$1" ]; return; }
  [ "${1%%-*}" -gt "${2%%-*}" ] 2>/dev/null
}
# The fence of a host names the newest run that has been there: no older one begins there.
read_fence() { first_line "$B/fence"; FENCE=$LINE; }
# shellcheck disable=SC2034 # FENCE_WHY is for the scripts
check_fence() { # check_fence RUN: 1 where a newer one has been here, 2 where that cannot be read; FENCE_WHY says it
  read_fence
  case "$FENCE" in
    '' | "$1") return 0 ;;
    *[!0-9a-f-]*) FENCE_WHY="the file $B/fence is damaged; remove it once you know that no other run is under way"; return 2 ;;
  esac
  newer_run "$FENCE" "$1" || return 0
  FENCE_WHY="a newer run, $FENCE, has been on this host"
  return 1
}
raise_fence() { put_file "$B/fence" "$1$NL"; }

# The number of our user in S_UID. The kernel says it without another process.
own_uid() {
  S_UID=
  { while read -r o_key o_first o_second _; do [ "$o_key" != Uid: ] || { S_UID=$o_second; break; }; done </proc/self/status; } 2>/dev/null
  [ -n "$S_UID" ] || S_UID=$(id -u)
}
# Sets B, the folder of our own files on this host, and S_UID. Root has it where only root can write.
# Another user has it below the install path; root never runs what is there. Until root has made its
# folder, what an earlier version left below the install path is read there, if only root can write to it.
state_folder() { # state_folder INSTALL CLUSTER
  own_uid; S_OLD=
  if [ "$S_UID" != 0 ]; then B=$1/.tarsops
  else
    B=${TARSOPS_STATE:-/var/lib/tarsops/$2}
    [ -d "$B" ] || [ ! -d "$1/.tarsops" ] || ! trusted "$1/.tarsops" || S_OLD=$1/.tarsops
  fi
}
# Whether each existing folder on the way to PATH, PATH included, belongs to root or to us, and nobody
# else can rename what is in it. UNSAFE says what is wrong, UNSAFE_UID who owns it.
trusted() { # trusted PATH
  t_path=$1 t_turns=0
  while :; do
    # All folders on the way, the outermost first, which is also the order in which ls names them.
    t_rest=${t_path#/} t_at=
    set -- /
    while [ -n "$t_rest" ]; do
      t_at=$t_at/${t_rest%%/*}
      case "$t_rest" in */*) t_rest=${t_rest#*/} ;; *) t_rest= ;; esac
      set -- "$@" "$t_at"
    done
    t_all=$(ls -ldn "$@" 2>/dev/null) || :
    t_link='' t_sticky=
    while read -r t_mode _ t_uid t_gid _; do
      [ -n "$t_mode" ] || continue
      UNSAFE_UID=$t_uid
      if [ "$t_uid" != 0 ] && [ "$t_uid" != "$S_UID" ]; then UNSAFE="$1 belongs to another user (uid $t_uid)"; return 1; fi
      case "$t_mode" in
        l*) t_link=$1; break ;;
        # Everybody may make names there, and nobody may change those of others.
        d???????w[tT]* | d????w???[tT]*) t_sticky=$1; shift; continue ;;
        # Behind an access control list the group bits say what anybody in it may.
        d????w??[!w]?+*) UNSAFE="$1 can be written by others"; return 1 ;;
        d????w??[!w]*)
          if [ "$t_gid" != 0 ] && { [ "$t_uid" = 0 ] || [ "$t_gid" != "$(id -g)" ]; }; then UNSAFE="$1 can be written by its group (gid $t_gid)"; return 1; fi ;;
        d???????w*) UNSAFE="$1 can be written by everybody"; return 1 ;;
        d*) ;;
        *) UNSAFE="$1 is no folder"; return 1 ;;
      esac
      t_sticky=
      shift
    done <<T_END
$t_all
T_END
    if [ -z "$t_link" ]; then
      [ -n "$t_sticky" ] || return 0
      # What does not exist there yet may be made by anybody, as may what is in it.
      UNSAFE="everybody can put names into $t_sticky" UNSAFE_UID=0
      return 1
    fi
    # A link of a trusted owner in a trusted folder: what it leads to must be trusted as well.
    t_turns=$((t_turns + 1))
    [ $t_turns -lt 9 ] || { UNSAFE="$t_link leads through too many links"; return 1; }
    t_to=$(readlink "$t_link") || { UNSAFE="$t_link cannot be read"; return 1; }
    case "$t_to" in /*) ;; *) t_to=${t_link%/*}/$t_to ;; esac
    t_path=$t_to${t_path#"$t_link"}
  done
}
# Makes B where it is missing, with what an earlier version left, and checks it. STATE_WHY says what is
# wrong.
# shellcheck disable=SC2034 # STATE_WHY is for the scripts
make_state() { # make_state INSTALL
  STATE_WHY=
  if [ "$S_UID" != 0 ] && [ ! -d "$1" ]; then
    ( umask 022; mkdir -p "$1" ) 2>/dev/null || { STATE_WHY="could not make $1: read-only, or no right to"; return 1; }
  fi
  trusted "$B" || { STATE_WHY="$UNSAFE, so $B cannot be used: nobody but root, or whoever acts here, may be able to write on the way to it"; return 1; }
  [ -d "$B" ] && return 0
  ( umask 077
    if [ -z "$S_OLD" ]; then mkdir -p "$B"
    elif [ -e "$S_OLD/current" ]; then exit 2
    else
      # Data moves; no script of an earlier version is ever run.
      mkdir -p "${B%/*}" && rm -rf "$B.moving" && cp -Rp "$S_OLD" "$B.moving" && rm -f "$B.moving/guard.sh" "$B.moving"/runs/*/*/change.sh &&
        mv "$B.moving" "$B" && rm -rf "$S_OLD"
    fi ) 2>/dev/null
  case $? in
    0) ;;
    2) STATE_WHY="a change of an earlier version of tarsops has not ended there ($S_OLD/current); that version ends it within a minute, or by apply"; return 1 ;;
    *) STATE_WHY="could not make $B: no space left, read-only, or no right to"; return 1 ;;
  esac
  S_OLD=
  trusted "$B" || { STATE_WHY="$UNSAFE, so $B cannot be used"; return 1; }
}

# The name of a user. A small id(1) takes names only.
user_name() { # user_name UID
  id -un "$1" 2>/dev/null || sed -n "s/^\([^:]*\):[^:]*:$1:.*/\1/p" /etc/passwd 2>/dev/null | head -n 1
}
# Numbers of a user in ID_UID and ID_GID, both empty where there is none of that name.
look_up() { # look_up NAME
  ID_NAME=$1 ID_GID=
  ID_UID=$(id "$1" 2>/dev/null) || :
  case "$ID_UID" in uid=*gid=*) ID_GID=${ID_UID#*gid=}; ID_GID=${ID_GID%%[!0-9]*} ID_UID=${ID_UID#uid=}; ID_UID=${ID_UID%%[!0-9]*} ;; *) ID_UID= ;; esac
}
# Sets AS_UID and AS_GID to the user whose rights are enough below the folder of the framework, empty where
# only root can put names into these folders. AS_WHY is set where somebody else can and it cannot be
# said who. TOP_UID, TOP_GID and TOP_WHY are the same of the first folder alone, TOP_OWNER who owns it if not root.
tree_rights() { # tree_rights INSTALL USER FOLDER…
  AS_UID='' AS_GID='' AS_WHY='' TOP_UID='' TOP_GID='' TOP_WHY='' TOP_OWNER='' r_owner='' r_gid='' r_top=0
  [ "$S_UID" = 0 ] || return 0
  r_base=$1 r_user=$2
  if ! trusted "$1"; then
    if [ "$UNSAFE_UID" = 0 ]; then AS_WHY=$UNSAFE; else r_owner=$UNSAFE_UID r_gid=65534; fi
  fi
  r_first=$3
  rights_of_top
  shift 2
  r_all=$(ls -ldnL "$@" 2>/dev/null) || :
  while read -r r_mode _ r_uid r_g r_more; do
    [ -n "$r_mode" ] || continue
    if [ "$r_uid" != 0 ]; then r_owner=$r_uid r_gid=$r_g
    else
      case "$r_mode" in
        ?????w??[!w]?+* | ????????w*) AS_WHY="$r_base/${r_more##* } can be written by everybody" ;;
        ?????w*) [ "$r_g" = 0 ] || AS_WHY="$r_base/${r_more##* } can be written by the group $r_g" ;;
      esac
    fi
    [ "$r_top" = 1 ] || { r_top=1; rights_of_top; }
  done <<R_END
$r_all
R_END
  for r_dir in "$@"; do
    [ ! -h "$r_dir" ] || trusted "$r_base/$r_dir" || { [ "$UNSAFE_UID" = 0 ] && AS_WHY=$UNSAFE || r_owner=$UNSAFE_UID r_gid=65534; }
    [ "$r_dir" != "$r_first" ] || [ ! -h "$r_dir" ] || rights_of_top
  done
  [ -n "$r_owner$AS_WHY" ] || return 0
  [ "${ID_NAME:-}" = "$r_user" ] || look_up "$r_user"
  if [ -n "$ID_UID" ] && [ "$ID_UID" != 0 ]; then
    AS_UID=$ID_UID AS_GID=$ID_GID AS_WHY=
    [ -z "$TOP_UID$TOP_WHY" ] || TOP_UID=$ID_UID TOP_GID=$ID_GID TOP_WHY=
  elif [ -n "$r_owner" ]; then AS_UID=$r_owner AS_GID=$r_gid AS_WHY=
  fi
}
# shellcheck disable=SC2034 # TOP_* are for the scripts
rights_of_top() { TOP_OWNER=$r_owner TOP_UID=$r_owner TOP_GID=$r_gid TOP_WHY=$AS_WHY; }
# Runs a program with the rights of AS_UID. It gets our standard streams and no other descriptor, and
# its time is bounded by us, as whoever has that uid can stop it. 126: there is no program to do that.
as_user() { # as_user SECONDS PROGRAM WORD…
  u_limit=$1; shift
  [ -n "${AS_HOW:-}" ] || find_rights
  case "$AS_HOW" in
    setpriv) set -- setpriv --reuid="$AS_UID" --regid="$AS_GID" "$AS_GROUPS" --inh-caps=-all -- "$@" ;;
    runuser) set -- runuser -u "$AS_NAME" -- "$@" ;;
    su) set -- su -s /bin/sh -c "exec \"\$@\"" -- "$AS_NAME" sh "$@" ;;
    *) echo "the host has no setpriv, runuser or su that works for uid $AS_UID" >&2; return 126 ;;
  esac
  # shellcheck disable=SC2086 # AS_BOUND is a program and its options
  [ -z "$AS_BOUND" ] || set -- $AS_BOUND "$u_limit" "$@"
  # With AS_EXEC the shell that calls becomes the program.
  [ -z "${AS_EXEC:-}" ] || exec "$@" 4>&- 7>&- 8>&- 9>&-
  "$@" 4>&- 7>&- 8>&- 9>&-
}
# By a try, as a program may be there and not know what is asked of it. What was found is remembered.
find_rights() {
  r_for=$AS_UID:$AS_GID:${ID_UID:-}:${ID_NAME:-}
  if [ "${R_FOR:-}" = "$r_for" ]; then AS_HOW=$R_HOW AS_BOUND=$R_BOUND AS_GROUPS=$R_GROUPS AS_NAME=$R_NAME; return; fi
  try_rights
  R_FOR=$r_for R_HOW=$AS_HOW R_BOUND=$AS_BOUND R_GROUPS=$AS_GROUPS R_NAME=$AS_NAME
}
try_rights() {
  if [ "${ID_UID:-}" = "$AS_UID" ]; then AS_NAME=$ID_NAME; else AS_NAME=$(user_name "$AS_UID"); fi
  AS_BOUND="timeout -s KILL"
  AS_GROUPS=--clear-groups; [ -z "$AS_NAME" ] || AS_GROUPS=--init-groups
  if $AS_BOUND 9 setpriv --reuid="$AS_UID" --regid="$AS_GID" "$AS_GROUPS" --inh-caps=-all -- true 2>/dev/null; then AS_HOW=setpriv; return; fi
  timeout -s KILL 9 true 2>/dev/null || AS_BOUND=
  if setpriv --reuid="$AS_UID" --regid="$AS_GID" "$AS_GROUPS" --inh-caps=-all -- true 2>/dev/null; then AS_HOW=setpriv
  elif [ -z "$AS_NAME" ]; then AS_HOW=none
  elif runuser -u "$AS_NAME" -- true 2>/dev/null; then AS_HOW=runuser
  elif su -s /bin/sh -c "exec \"\$@\"" -- "$AS_NAME" sh sh -c : 2>/dev/null; then AS_HOW=su
  else AS_HOW=none
  fi
}

# Processes that have one of these texts on their command lines, as lines /proc/PID/cmdline. The texts go in on
# standard input: as arguments they would match themselves, and start.sh kills every process that has the
# path of a program among its arguments.
with_words() { # with_words TEXT…
  # shellcheck disable=SC2062 # the pattern is one of file names
  printf '%s\n' "$@" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null
}
# A process counts by whose it is and where it lives; what it calls itself proves nothing.
# shellcheck disable=SC2034 # O_GID and O_OTHER are for the scripts
ours() { # ours PID: of one of UIDS, and of no container. O_UID and O_GID are whose; O_OTHER if it is somebody else
  O_UID='' O_GID='' O_OTHER=
  { while read -r o_key o_first o_second _; do
    case "$o_key" in
      Uid:)
        case " $UIDS " in *" $o_second "*) ;; *) O_OTHER=$o_second; return 1 ;; esac
        case " $UIDS " in *" $o_first "*) O_UID=$o_second ;; *) O_OTHER=$o_first; return 1 ;; esac ;;
      Gid:) O_GID=$o_first ;;
      # Its numbers in the namespaces of processes that hold it: one, where it is in ours.
      NSpid:) [ -z "$o_second" ] || { O_UID=; return 1; } ;;
    esac
  done <"/proc/$1/status"; } 2>/dev/null
  [ -n "$O_UID" ]
}

# With the fastest tool there is; one that is there and does not work is passed over.
sha() { # sha FILE: its sha256 in SHA; 1 where there is none
  has openssl && SHA=$(openssl dgst -sha256 -r 2>/dev/null <"$1") && is_sha && return 0
  has sha256sum && SHA=$(sha256sum 2>/dev/null <"$1") && is_sha && return 0
  has busybox && SHA=$(busybox sha256sum 2>/dev/null <"$1") && is_sha && return 0
  has shasum && SHA=$(shasum -a 256 2>/dev/null <"$1") && is_sha && return 0
  SHA=
  return 1
}
is_sha() { SHA=${SHA%% *}; case "$SHA" in *[!0-9a-f]*) return 1 ;; esac; [ ${#SHA} = 64 ]; }
# Files beyond this many bytes are not read: no program of the framework is that large, and a sparse
# file of any size costs its owner nothing.
# shellcheck disable=SC2034 # for the scripts
SIZE_LIMIT=1073741824
# Whether a moment has passed, of this boot and in hundredths of a second since it began. Nobody can set that
# clock, so a script that was held up on its way knows that it comes too late.
late() { # late BOOT-ID HUNDREDTHS
  d_boot=; { read -r d_boot </proc/sys/kernel/random/boot_id && read -r d_up _ </proc/uptime; } 2>/dev/null || return 0
  [ "$d_boot" != "$1" ] || [ $((${d_up%.*} * 100 + 1${d_up#*.} - 100)) -gt "$2" ]
}
