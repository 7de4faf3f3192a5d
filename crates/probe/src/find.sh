# Which tarsnodes run on a host, by their own command lines: for whoever does not know yet where the
# framework lies there. It reads and changes nothing. Command lines are what processes say of themselves,
# so the answer is a proposal, and a look at that place follows.
#
# F_NODE is the node that is meant: if some have it on their command line, the others are left out.
# F_NONCE comes back in the first and the last line. A line between them has tabs between its fields:
# install path, nodeid, user, `own` or `inside` (a container), localip of the configuration, and the host, the
# port and the user of the database in the registry's configuration. Its password is not read.

F_END=/tars/tarsnode/bin/tarsnode
TAB=$(printf '\t')
# The root of a process, as far as it is known: another one is that of a container.
# shellcheck disable=SC2012 # its name is known
root_of() { ls -Ldi "/proc/$1/root/" 2>/dev/null | sed 's/^ *//;s/ .*//'; }
# The first value of a key in the file f_conf.
value() { sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$f_conf" 2>/dev/null | head -n 1; }
found() { # found PID
  f_path='' f_node=
  while IFS= read -r f_word; do
    if [ -z "$f_path" ]; then
      case "$f_word" in /*"$F_END") f_path=${f_word%"$F_END"} ;; *) return 0 ;; esac
    fi
    case "$f_word" in --nodeid=*) f_node=${f_word#--nodeid=} ;; esac
  done <<F_WORDS
$(tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null)
F_WORDS
  [ -n "$f_path" ] || return 0
  # shellcheck disable=SC2046 # the third word is the owner
  set -- "$1" $(ls -ld "/proc/$1" 2>/dev/null)
  f_user=${4:-}
  f_where=own f_root=$(root_of "$1")
  [ -z "$f_root" ] || [ "$f_root" = "$F_ROOT" ] || f_where=inside
  f_tars=$f_path/tars
  [ $f_where = own ] || f_tars=/proc/$1/root$f_tars
  f_conf=$f_tars/tarsnode/conf/tars.tarsnode.config.conf
  f_ip=$(value localip)
  # What tarsnode generated is what the registry reads; before that it is the installer's.
  f_conf=$f_tars/tarsnode/data/tars.tarsregistry/conf/tars.tarsregistry.config.conf
  [ -r "$f_conf" ] || f_conf=$f_tars/tarsregistry/conf/tars.tarsregistry.config.conf
  f_db=$(value dbhost)$TAB$(value dbport)$TAB$(value dbuser)
  printf '%s\n' "$f_path$TAB$f_node$TAB$f_user$TAB$f_where$TAB$f_ip$TAB$f_db"
}
F_ROOT=$(root_of $$)
printf '%s\n' "found $F_NONCE"
# The pattern goes in on standard input: the framework's scripts kill whatever has it as an argument.
# shellcheck disable=SC2062 # the pattern is one of file names
f_all=$(grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null <<F_PATTERN
$F_END
F_PATTERN
)
# On a machine that many nodes share, only the one that is meant is read further.
if [ -n "$F_NODE" ] && [ -n "$f_all" ]; then
  # shellcheck disable=SC2062 # the pattern is one of file names
  f_named=$(grep -lF -f - $f_all 2>/dev/null <<F_PATTERN
--nodeid=$F_NODE
F_PATTERN
  )
  [ -z "$f_named" ] || f_all=$f_named
fi
for f_file in $f_all; do
  f_pid=${f_file#/proc/}; f_pid=${f_pid%%/*}
  [ "$f_pid" = "$$" ] || found "$f_pid"
done
printf '%s\n' "end $F_NONCE"
