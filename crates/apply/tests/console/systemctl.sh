#!/bin/sh
# What systemctl of a host with systemd does with the units of these tests. `boot` is what systemd does at a boot.
units=/etc/systemd/system wanted=$units/multi-user.target.wants
for word in "$@"; do unit=$word; done
case "$unit" in *.service) name=${unit%.service} ;; *) name=$unit ;; esac
file=$units/$name.service keeper=/run/keeper.$name main=/run/main.$name
value() { sed -n "s/^$1=//p" "$file"; }
keep() {
  while :; do
    ( cd "$(value WorkingDirectory)" && exec $(value ExecStart) ) </dev/null >/dev/null 2>&1 &
    echo $! >"$main"
    wait $!
    [ -e "$keeper" ] || exit 0
    sleep 0.3
  done
}
begin() {
  [ -e "$file" ] || { echo "Unit $unit not found." >&2; exit 5; }
  [ -e "$keeper" ] && return 0
  : >"$keeper"
  # As a program of its own: a shell that redirects a function holds what it had open before.
  setsid "$0" keep "$unit" </dev/null >/dev/null 2>&1 9>&- &
}
case "$1" in
  daemon-reload) ;;
  enable) [ -e "$file" ] || { echo "Unit file $unit does not exist." >&2; exit 1; }; mkdir -p "$wanted"; ln -sf "$file" "$wanted/$name.service" ;;
  disable) rm -f "$wanted/$name.service" ;;
  is-enabled) [ -e "$wanted/$name.service" ] ;;
  keep) keep ;;
  start) begin ;;
  stop)
    [ -e "$keeper" ] || exit 0
    rm -f "$keeper"
    read -r pid <"$main" && kill "$pid" 2>/dev/null
    while [ -d "/proc/$pid" ] && [ -e "/proc/$pid/exe" ]; do sleep 0.05; done
    rm -f "$main" ;;
  show) cat "$main" 2>/dev/null || echo 0 ;;
  boot)
    rm -f /run/keeper.* /run/main.*
    for link in "$wanted"/*.service; do [ ! -e "$link" ] || "$0" start "${link##*/}"; done ;;
  *) echo "systemctl of these tests does not know $*" >&2; exit 1 ;;
esac
