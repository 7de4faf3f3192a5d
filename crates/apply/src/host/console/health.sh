
# ---- health ----------------------------------------------------------------------------------
# The page of the login needs the database, and the version needs AdminRegistry (TarsWeb index/index.js,
# index/controller/page/PageController.js). A process that only runs may be waiting for either.
ASK='const h=require("http"),get=u=>new Promise(r=>{const q=h.get({host:"127.0.0.1",port:+process.argv[1],path:u,timeout:4000},a=>{
let b="";a.setEncoding("utf8").on("data",d=>{b+=d}).on("end",()=>r([a.statusCode,b])).on("error",()=>r([0,""]))});
q.on("timeout",()=>q.destroy()).on("error",()=>r([0,""]))});
(async()=>{const l=await get("/login.html");let v=[0,""],w="-";if(l[0]===200||l[0]===302){v=await get("/web_version");try{w=JSON.parse(v[1]).webVersion}catch(e){}}
console.log(l[0],v[0],/^[0-9A-Za-z.+-]+$/.test(w)?w:"-")})()'
ask_console() { # ask_console PORT: A_LOGIN, A_STATUS and A_VERSION
  A_LOGIN=0 A_STATUS=0 A_VERSION=-
  a_all=$(bounded 20 env -i "$T_NODE" -e "$ASK" "$1" </dev/null 2>/dev/null) || :
  [ -z "$a_all" ] || read -r A_LOGIN A_STATUS A_VERSION <<A_END
$a_all
A_END
}
# 0: it is not healthy yet. 1: it is. 2: it will not be.
unhealthy() { # unhealthy new|old: WHY
  console_pids "$T_WEB"
  if [ "$1" = new ]; then u_by=$T_SUPERVISOR u_port=$T_PORT u_version=$T_VERSION; else u_by=$T_FROM u_port=$T_OLD_PORT u_version=$T_OLD_VERSION; fi
  if [ -z "$PIDS" ]; then
    WHY="the console does not run"
    case "$u_by" in
      pm2)
        pm2_entry
        case $?/$E_STATUS in
          # After some 16 tries PM2 tries no more.
          0/errored) WHY="the console ends again and again, and PM2 has given up (errored)"; return 2 ;;
          # Between an end and the next try it is called stopped for a moment as well.
          0/stopped) WHY="somebody has stopped the console in PM2" U_STOPPED=$((U_STOPPED + 1)); [ $U_STOPPED -lt 4 ] || return 2; return 0 ;;
          1/* | 3/*) WHY="PM2 does not run the console any more"; return 2 ;;
        esac
        U_STOPPED=0 ;;
      none) U_GONE=$((U_GONE + 1)); [ $U_GONE -lt 4 ] || { WHY="the console has ended"; return 2; } ;;
    esac
    return 0
  fi
  U_GONE=0 U_STOPPED=0
  case "$u_by" in
    pm2) u_found=0; find_daemon '' && for u_pid in $PIDS; do parent_of "$u_pid"; [ "$PPID_OF" != "$DAEMON" ] || u_found=1; done
      [ $u_found = 1 ] || { WHY="the console that runs is not PM2's"; return 0; } ;;
    systemd) unit_pid && case " $PIDS " in *" $U_PID "*) ;; *) false ;; esac || { WHY="the console that runs is not that of the unit $T_UNIT"; return 0; } ;;
  esac
  if [ "$1" = old ] && [ "$OLD_LOGIN" = 0 ]; then return 1; fi
  ask_console "$u_port"
  case "$A_LOGIN" in
    200 | 302) ;;
    0) WHY="the console does not answer at port $u_port"; return 0 ;;
    *) WHY="the console answers /login.html with status $A_LOGIN"; return 0 ;;
  esac
  if [ "$1" = old ] && [ "$OLD_TELLS" = 0 ]; then return 1; fi
  [ "$A_STATUS" = 200 ] || { WHY="the console answers /web_version with status $A_STATUS: is AdminRegistry there?"; return 0; }
  [ "$A_VERSION" = "$u_version" ] || { WHY="the console says that it is $A_VERSION, and not $u_version"; return 0; }
  return 1
}
wait_healthy() { # wait_healthy new|old SETTLE DEADLINE
  read_clock; h_end=$((NOW + $3 * 100)) h_since='' h_pids='' U_GONE=0 U_STOPPED=0
  while :; do
    unhealthy "$1" && h_now=0 || h_now=$?
    [ "$h_now" != 2 ] || return 1
    read_clock
    if [ "$h_now" = 0 ]; then h_since=
    else
      if [ -z "$h_since" ] || [ "$h_pids" != "$PIDS" ]; then h_since=$NOW h_pids=$PIDS; fi
      [ "$NOW" -lt $((h_since + $2 * 100)) ] || return 0
      WHY="the console has not held for $2 seconds"
    fi
    [ "$NOW" -lt $h_end ] || return 1
    nap 0.1
  done
}
