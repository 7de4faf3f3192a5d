# The part of a look that reads below the framework's folder. It runs with the rights of whoever can put
# files there, so that no link leads further than that user can read. The current folder is the install
# path. P_ENC says which program makes base64. P_MEMO_TEXT are remembered digests, one `KEY DIGEST` a line.
#
# Answer: lines of the look's answer; `fresh KEY DIGEST` for a digest that was read now, `used KEY DIGEST`
# for one that was remembered; last `tree-end`.

# One line of base64 of standard input.
enc_all() {
  case "$P_ENC" in
    whole) base64 -w0 ;;
    base64) base64 | tr -d '\n' ;;
    openssl) openssl base64 -A ;;
    *) od -An -v -tx1 | tr -d ' \n' | sed 's/^/hex:/' ;;
  esac
}
text() { # text KEY FILE: content, mode and owner of a small file, or why not; T_STATS knows it
  if [ ! -e "$2" ] && [ ! -h "$2" ]; then
    if [ -x "${2%/*}" ]; then echo "$1 absent"; else echo "$1 unknown no-access"; fi
    return
  fi
  if [ ! -f "$2" ]; then echo "$1 unknown not-a-file"; return; fi
  if [ ! -r "$2" ]; then echo "$1 unknown no-access"; return; fi
  t_stat=
  case "$T_STATS" in *"
$2 "*) t_stat=${T_STATS##*"
$2 "}; t_stat=${t_stat%%"
"*} ;; esac
  # shellcheck disable=SC2086 # its words
  set -- "$1" "$2" $t_stat
  if [ $# -ne 5 ]; then echo "$1 unknown no-stat"; return; fi
  if [ "$5" -gt 1048576 ]; then echo "$1 unknown too-large"; return; fi
  if [ "$5" = 0 ]; then echo "$1 text $3 $4 -"; return; fi
  # What grows meanwhile makes the answer longer, which whoever reads it bounds.
  printf '%s text %s %s ' "$1" "$3" "$4"; enc_all <"$2"; echo
}
# Digest of a file, remembered under its identity. The same inode is read once per look.
digest() { # digest FILE: D, and in D_NEWS `fresh` or `used` with its key in D_KEY; D_WHY where there is none
  D='' D_NEWS='' D_KEY='' D_WHY=no-access; d_key=$(TZ=UTC0 stat -L -c '%d:%i:%s:%y:%z' "$1" 2>/dev/null)
  [ -n "$d_key" ] || return 1
  d_size=${d_key#*:*:}; d_size=${d_size%%:*}
  [ "$d_size" -le "$SIZE_LIMIT" ] || { D_WHY=too-large; return 1; }
  d_file=$1
  # Its words, joined by underscores.
  set -f; d_ifs=$IFS
  # shellcheck disable=SC2086 # its words
  set -- $d_key
  IFS=_; d_key="$*"; IFS=$d_ifs; set +f
  set -- "$d_file"
  case "$P_SEEN" in *"|$d_key="*) D=${P_SEEN##*"|$d_key="}; D=${D%%|*}; return 0 ;; esac
  if [ "$P_REHASH" = 0 ]; then
    case "$P_MEMO_TEXT" in *"
$d_key "*) D=${P_MEMO_TEXT##*"
$d_key "}; D=${D%%"
"*}; D_NEWS=used ;; esac
  fi
  if [ -z "$D" ]; then
    D=$(hash_it "$1")
    [ -n "$D" ] || { [ ! -r "$1" ] || D_WHY=no-digest; return 1; }
    D_NEWS=fresh
  fi
  D_KEY=$d_key
  P_SEEN="$P_SEEN|$d_key=$D|"
}
hash_it() { sha "$1"; }
note_digest() { # note_digest FILE: as digest, and says what is to be remembered
  digest "$1" || return 1
  [ -z "$D_NEWS" ] || echo "$D_NEWS $D_KEY $D"
}

look_below() {
  P_SEEN=
  # Which components are installed so that they can be started.
  if [ -d tars ] && [ ! -x tars ]; then echo "installed unknown -"
  else
    p_there=$(for p_f in tars/*/util/start.sh; do
      [ -f "$p_f" ] || continue
      p_f=${p_f%/util/start.sh}; printf '%s\n' "${p_f##*/}"
    done | head -n 200 | enc_all)
    echo "installed list ${p_there:--}"
  fi

  # The agent's folder.
  if [ ! -e tars/tarsnode ]; then
    p_up=$P_INSTALL/tars; while [ ! -e "$p_up" ] && [ -n "$p_up" ]; do p_up=${p_up%/*}; done
    if [ -d "${p_up:-/}" ] && [ -x "${p_up:-/}" ]; then echo "agent absent"; else echo "agent unknown"; fi
  elif ! cd tars/tarsnode 2>/dev/null; then echo "agent unknown"
  else
    echo "agent present"
    p_o=$(stat -c '%U %a' . 2>/dev/null); echo "folder ${p_o:-- -}"
    if [ "$P_KNOWN" = 1 ] && has find; then
      # The folder of all components, and two levels of the agent's.
      # A link in the place of a folder may be anybody's: what counts is the folder that it leads to.
      p_more=
      for p_f in '' /bin /conf /util /data; do [ ! -h "../tarsnode$p_f" ] || p_more="$p_more ./tarsnode$p_f/"; done
      # shellcheck disable=SC2086 # folders of fixed names
      p_l=$(cd .. && find . $p_more \( -path ./tarsnode -o -path ./tarsnode/bin -o -path ./tarsnode/conf -o -path ./tarsnode/util -o -path ./tarsnode/data \) -type l -prune -o -path './*' ! -path ./tarsnode ! -path './tarsnode/*' -prune -o -path './tarsnode/*/*/*' -prune -o \
        -path './tarsnode/*/*' ! -path './tarsnode/bin/*' ! -path './tarsnode/conf/*' ! -path './tarsnode/util/*' ! -path './tarsnode/data/*' -prune -o \
        ! -user "$P_RUN_USER" -print 2>/dev/null | sort | head -n 20 | enc_all)
      echo "strangers ${p_l:--}"
    else echo "strangers unknown"
    fi
    if [ -f bin/tarsnode ]; then
      p_o=$(stat -L -c '%s %a %U' bin/tarsnode 2>/dev/null)
      if [ -r bin/tarsnode ] && note_digest bin/tarsnode; then echo "binary file $D $p_o"; else echo "binary unknown ${D_WHY:-no-access}"; fi
    elif [ -x . ] && { [ ! -e bin ] || [ -x bin ]; }; then echo "binary absent"
    else echo "binary unknown no-access"
    fi
    T_STATS="
$(stat -L -c '%n %a %U %s' conf/tars.tarsnode.config.conf util/start.sh util/stop.sh util/execute.sh util/monitor.sh 2>/dev/null)
"
    text conf conf/tars.tarsnode.config.conf
    for p_f in start.sh stop.sh execute.sh monitor.sh; do text "util $p_f" "util/$p_f"; done
    if [ -f data/tars.tarsnode/conf/tars.tarsnode.config.conf ]; then echo "generated 1"; else echo "generated 0"; fi
    cd "$P_INSTALL" || return
  fi

  # The files of the other components that were asked for.
  for p_c in $P_SERVERS; do
    if [ ! -e "tars/$p_c" ]; then
      if [ -x tars ] || [ ! -e tars ]; then echo "server $p_c absent"; else echo "server $p_c unknown"; fi
    elif [ -f "tars/$p_c/bin/$p_c" ]; then
      p_o=$(stat -L -c '%s %a %U' "tars/$p_c/bin/$p_c" 2>/dev/null)
      if [ -r "tars/$p_c/bin/$p_c" ] && note_digest "tars/$p_c/bin/$p_c"; then echo "server $p_c file $D $p_o"; else echo "server $p_c unknown ${D_WHY:-no-access}"; fi
    elif [ -x "tars/$p_c" ] && { [ ! -e "tars/$p_c/bin" ] || [ -x "tars/$p_c/bin" ]; }; then echo "server $p_c none"
    else echo "server $p_c unknown"
    fi
  done
  # A file touched within the last two seconds could change again without its times changing, so
  # nothing is remembered then.
  p_new=$(find tars/*/bin/ -maxdepth 1 -type f -newermt '2 seconds ago' 2>/dev/null) || { [ $? -lt 126 ] || echo "broken find -"; p_new=x; }
  [ -z "$p_new" ] || echo "touched"
  echo tree-end
}
