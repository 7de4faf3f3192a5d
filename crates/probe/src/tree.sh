# The part of a look that reads below the framework's folder. It runs with the rights of whoever can put
# files there, so that no link leads further than that user can read. The current folder is the install
# path. P_MEMO_TEXT are remembered digests, one `KEY DIGEST` a line; P_NOW is the host's clock.
#
# Answer: lines of the look's answer; `fresh KEY DIGEST` for a digest that was read now, `used KEY DIGEST`
# for one that was remembered; last `tree-end`.

# What is asked of files, of all of them at once, as each program is paid by every host.
stat_all() { # stat_all FILE…: in T_STATS
  T_STATS=$(TZ=UTC0 stat -L -c '%n %a %U %s %Z %d:%i:%s:%y:%z' "$@" 2>/dev/null)
}
# The rest of the line that begins with a word, in L_REST. A small shell takes the square of a text's length to
# cut it behind a pattern, and so many steps as it has lines to look at each.
line_of() { # line_of WORD TEXT
  set -f; l_ifs=$IFS; IFS=$NL L_REST=
  for l_line in $2; do
    case "$l_line" in "$1 "*) L_REST=${l_line#"$1 "}; break ;; esac
  done
  IFS=$l_ifs; set +f
  [ -n "$L_REST" ]
}
# What stat_all has said of a file: T_MODE T_OWNER T_SIZE T_CHANGED, and T_KEY, its identity. 1 where nothing.
stat_of() { # stat_of FILE
  line_of "$1" "$T_STATS" || return 1
  set -f
  # shellcheck disable=SC2086 # its words
  set -- $L_REST
  set +f
  [ $# -ge 5 ] || return 1
  T_MODE=$1 T_OWNER=$2 T_SIZE=$3 T_CHANGED=$4
  shift 4
  t_ifs=$IFS; IFS=_; T_KEY="$*"; IFS=$t_ifs
}
# The state of a small file. Its text comes later, with those of all others.
text() { # text KEY FILE
  if [ ! -e "$2" ] && [ ! -h "$2" ]; then
    if [ -x "${2%/*}" ]; then echo "$1 absent"; else echo "$1 unknown no-access"; fi
  elif [ ! -f "$2" ]; then echo "$1 unknown not-a-file"
  elif [ ! -r "$2" ]; then echo "$1 unknown no-access"
  elif ! stat_of "$2"; then echo "$1 unknown no-stat"
  elif [ "$T_SIZE" -gt 65536 ]; then echo "$1 unknown too-large"
  else
    echo "$1 text $T_MODE $T_OWNER $T_SIZE"
    [ "$T_SIZE" = 0 ] || P_TEXTS="$P_TEXTS $2"
  fi
}
# Digest of a file that stat_all was asked about, remembered under its identity. One identity is read once.
digest() { # digest FILE: D, and in D_NEWS `fresh` or `used` with its key in D_KEY; D_WHY where there is none
  D='' D_NEWS='' D_KEY='' D_WHY=no-access
  stat_of "$1" || return 1
  [ "$T_SIZE" -le "$SIZE_LIMIT" ] || { D_WHY=too-large; return 1; }
  ! line_of "$T_KEY" "$P_SEEN" || { D=$L_REST; return 0; }
  [ "$P_REHASH" != 0 ] || ! line_of "$T_KEY" "$P_MEMO_TEXT" || D=$L_REST D_NEWS=used
  if [ -z "$D" ]; then
    hash_it "$1"; D=$SHA
    [ -n "$D" ] || { [ ! -r "$1" ] || D_WHY=no-digest; return 1; }
    D_NEWS=fresh
  fi
  D_KEY=$T_KEY
  P_SEEN="$P_SEEN$T_KEY $D$NL"
}
hash_it() { sha "$1"; } # hash_it FILE: in SHA, empty where there is none
binary() { # binary KEY FILE: of a file that is there
  if [ -r "$2" ] && digest "$2"; then
    [ -z "$D_NEWS" ] || echo "$D_NEWS $D_KEY $D"
    echo "$1 file $D $T_SIZE $T_MODE $T_OWNER"
    # What was changed within the last two seconds could change again without its times changing.
    [ "$T_CHANGED" -lt $((${P_NOW:-0} - 2)) ] || echo touched
  else echo "$1 unknown ${D_WHY:-no-access}"
  fi
}

look_below() {
  P_SEEN='' P_TEXTS=
  # Which components are installed so that they can be started.
  if [ -d tars ] && [ ! -x tars ]; then echo "installed unknown"
  else
    echo "installed list"
    p_count=0
    for p_f in tars/*/util/start.sh; do
      [ -f "$p_f" ] && [ $p_count -lt 200 ] || continue
      p_f=${p_f#*/}; p_f=${p_f%/util/start.sh}; p_count=$((p_count + 1))
      case "$p_f" in *"$NL"*) ;; *) echo "has $p_f" ;; esac
    done
  fi

  p_agent=tars/tarsnode
  set -- $p_agent/conf/tars.tarsnode.config.conf
  for p_f in start.sh stop.sh execute.sh monitor.sh; do set -- "$@" $p_agent/util/$p_f; done
  for p_f in tarsnode $P_SERVERS; do set -- "$@" "tars/$p_f/bin/$p_f"; done
  stat_all "$p_agent" "$@"

  # The agent's folder.
  if [ ! -e $p_agent ]; then
    p_up=$P_INSTALL/tars; while [ ! -e "$p_up" ] && [ -n "$p_up" ]; do p_up=${p_up%/*}; done
    if [ -d "${p_up:-/}" ] && [ -x "${p_up:-/}" ]; then echo "agent absent"; else echo "agent unknown"; fi
  elif [ ! -d $p_agent ] || [ ! -x $p_agent ]; then echo "agent unknown"
  else
    echo "agent present"
    if stat_of $p_agent; then echo "folder $T_OWNER $T_MODE"; else echo "folder - -"; fi
    if [ "$P_KNOWN" = 1 ] && has find; then
      # The folder of all components, and two levels of the agent's.
      # A link in the place of a folder may be anybody's: what counts is the folder that it leads to.
      p_more=
      for p_f in '' /bin /conf /util /data; do [ ! -h "$p_agent$p_f" ] || p_more="$p_more ./tarsnode$p_f/"; done
      # shellcheck disable=SC2086 # folders of fixed names
      p_l=$(cd tars && exec find . $p_more \( -path ./tarsnode -o -path ./tarsnode/bin -o -path ./tarsnode/conf -o -path ./tarsnode/util -o -path ./tarsnode/data \) -type l -prune -o -path './*' ! -path ./tarsnode ! -path './tarsnode/*' -prune -o -path './tarsnode/*/*/*' -prune -o \
        -path './tarsnode/*/*' ! -path './tarsnode/bin/*' ! -path './tarsnode/conf/*' ! -path './tarsnode/util/*' ! -path './tarsnode/data/*' -prune -o \
        ! -user "$P_RUN_USER" -print 2>/dev/null) || [ $? -lt 126 ] || echo "broken find "
      echo "strangers list"
      set -f; p_ifs=$IFS; IFS=$NL p_count=0
      for p_f in $p_l; do
        p_count=$((p_count + 1)); [ $p_count -le 20 ] || break
        printf 'stranger %s\n' "$p_f"
      done
      IFS=$p_ifs; set +f
    else echo "strangers unknown"
    fi
    if [ -f $p_agent/bin/tarsnode ]; then binary binary $p_agent/bin/tarsnode
    elif [ ! -e $p_agent/bin ] || [ -x $p_agent/bin ]; then echo "binary absent"
    else echo "binary unknown no-access"
    fi
    text conf $p_agent/conf/tars.tarsnode.config.conf
    for p_f in start.sh stop.sh execute.sh monitor.sh; do text "util $p_f" "$p_agent/util/$p_f"; done
    # Lines `FILE:LINE`, so that no text is taken for anything else.
    # shellcheck disable=SC2086 # files of fixed names
    [ -z "$P_TEXTS" ] || grep -aH '' $P_TEXTS 2>/dev/null || [ $? -lt 126 ] || echo "broken grep "
    if [ -f $p_agent/data/tars.tarsnode/conf/tars.tarsnode.config.conf ]; then echo "generated 1"; else echo "generated 0"; fi
  fi

  # The files of the other components that were asked for.
  for p_c in $P_SERVERS; do
    if [ ! -e "tars/$p_c" ]; then
      if [ -x tars ] || [ ! -e tars ]; then echo "server $p_c absent"; else echo "server $p_c unknown"; fi
    elif [ -f "tars/$p_c/bin/$p_c" ]; then binary "server $p_c" "tars/$p_c/bin/$p_c"
    elif [ -x "tars/$p_c" ] && { [ ! -e "tars/$p_c/bin" ] || [ -x "tars/$p_c/bin" ]; }; then echo "server $p_c none"
    else echo "server $p_c unknown"
    fi
  done
  echo tree-end
}
