# The management platform on this host. P_WEB is its folder by the spec. No node and no pm2 is ever started: `pm2` would
# start a daemon of its own. What is read of files are single words, since its configuration has passwords.
console_look() {
  say "console $P_WEB"
  w_real=$P_WEB
  if [ -d "$P_WEB" ]; then
    if cd -P "$P_WEB" 2>/dev/null; then w_real=$PWD; cd / || :; say "console-folder present"
    else say "console-folder no-access"
    fi
  else
    w_dir=$P_WEB
    while [ ! -d "$w_dir" ] && [ -n "$w_dir" ]; do w_dir=${w_dir%/*}; done
    if [ -e "$P_WEB" ] || [ -h "$P_WEB" ]; then say "console-folder no-folder"
    elif [ -x "${w_dir:-/}" ]; then say "console-folder absent"
    else say "console-folder no-access"
    fi
  fi
  w_arch=
  [ ! -r /proc/sys/kernel/arch ] || read -r w_arch </proc/sys/kernel/arch
  say "console-machine ${w_arch:-$(uname -m 2>/dev/null)}"
  console_files
  for w_f in "$P_WEB".old-*; do
    case "$w_f" in *"$NL"*) ;; *) [ ! -d "$w_f" ] || say "console-retired ${w_f##*/}" ;; esac
  done
  for w_f in /etc/systemd/system/*.wants/*.service; do
    case "${w_f##*/}" in
      *"$NL"*) ;;
      pm2-* | *web* | *console*) [ ! -e "$w_f" ] || say "console-unit ${w_f##*/}" ;;
    esac
  done
  console_processes
}
console_files() {
  set --
  for w_f in package.json config/webConf.js config/tars.conf; do
    w_f=$P_WEB/$w_f
    if [ -f "$w_f" ] && [ -r "$w_f" ]; then set -- "$@" "$w_f"; fi
  done
  if [ $# != 0 ]; then
    say "console-texts raw"
    grep -aoH -m 64 -e '^[[:space:]]*"version"[[:space:]]*:[[:space:]]*"[^"]*"' \
      -e "^[[:space:]]*[\"']\{0,1\}alter[\"']\{0,1\}[[:space:]]*:[[:space:]]*[a-z]*" \
      -e '^[[:space:]]*locator[[:space:]]*=.*' "$@" 2>/dev/null
    say_raw $?
  fi
  set --
  for w_f in authConf.js compileConf.js dcacheConf.js loginConf.js tars.conf webConf.js; do
    w_f=$P_WEB/config/$w_f
    if [ -f "$w_f" ] && [ ! -h "$w_f" ] && [ -r "$w_f" ]; then set -- "$@" "$w_f"; fi
  done
  if [ $# != 0 ] && has sha256sum; then
    say "console-digests raw"
    sha256sum "$@" 2>/dev/null
    say_raw $?
  fi
}
# Its processes by their first words and the folder that they run in; those of other programs with a `bin/www` are none.
console_processes() {
  [ -r /proc/self/cmdline ] || { say "console-processes none"; return 0; }
  # The pattern goes in on standard input: arguments can be seen.
  # shellcheck disable=SC2062 # the pattern is one of file names
  w_words=$(grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null <<W_END
bin/www
W_END
  )
  w_asked=
  for w_f in $w_words; do
    w_p=${w_f#/proc/}; w_p=${w_p%%/*}
    [ "$w_p" = "$$" ] || w_asked="$w_asked /proc/$w_p/cwd /proc/$w_p/exe /proc/$w_p/root"
  done
  w_links=''
  # shellcheck disable=SC2012,SC2086 # links of fixed names
  [ -z "$w_asked" ] || w_links=$NL$(ls -l $w_asked 2>/dev/null)$NL
  w_homes=$NL
  for w_f in $w_words; do
    w_p=${w_f#/proc/}; w_p=${w_p%%/*}
    console_link cwd; w_cwd=$w_to
    case "$w_cwd" in
      "$P_WEB" | "$P_WEB".* | "$w_real" | "$w_real".* | "$P_WEB (deleted)" | "$w_real (deleted)") ;;
      *) continue ;;
    esac
    console_link root; w_root=$w_to
    console_link exe
    owner "$w_p"
    w_parent=''
    while read -r w_key w_value _; do
      [ "$w_key" != PPid: ] || { w_parent=$w_value; break; }
    done 2>/dev/null <"/proc/$w_p/status"
    say "console-process $w_p ${p_who:-?}"
    say "+$w_cwd"
    say "+$w_to"
    say "+$w_root"
    LINE=; case "$w_parent" in '' | 0 | 1) ;; *) first_line "/proc/$w_parent/cmdline" 2>/dev/null ;; esac
    say "+${w_parent:-?} $LINE"
    case "$LINE" in
      PM2*"("*")"*)
        w_home=${LINE#*"("}; w_home=${w_home%%")"*}
        case "$w_homes" in *"$NL$w_home$NL"*) ;; *) w_homes="$w_homes$w_home$NL" ;; esac ;;
    esac
    w_unit=
    while IFS= read -r w_line; do
      case "$w_line" in *.service) w_unit=${w_line##*/} ;; esac
    done 2>/dev/null <"/proc/$w_p/cgroup"
    say "+$w_unit"
  done
  set -f; IFS=$NL
  for w_home in $w_homes; do
    w_f=$w_home/dump.pm2
    if [ ! -d "$w_home" ] || [ ! -x "$w_home" ]; then say "console-saved -"
    elif [ ! -f "$w_f" ]; then say "console-saved 0"
    elif [ ! -r "$w_f" ]; then say "console-saved -"
    elif grep -qF -e "\"$P_WEB" -e "\"$w_real" "$w_f" 2>/dev/null; then say "console-saved 1"
    else say "console-saved 0"
    fi
  done
  IFS=$P_IFS; set +f
  if [ $p_root = 1 ]; then say "console-processes all"; else say "console-processes some"; fi
}
console_link() { # console_link NAME: what the link of $w_p leads to, in w_to
  w_to=''
  case "$w_links" in *"/proc/$w_p/$1 -> "*) w_to=${w_links#*"/proc/$w_p/$1 -> "}; w_to=${w_to%%"$NL"*} ;; esac
}
