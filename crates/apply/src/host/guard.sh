# Run by cron each minute while a change is under way on this host: ends what a dead one left.
# It takes itself out of the crontab when there is nothing left to end.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
B=${0%/*}
if [ -r "$B/current" ] && read -r g_run g_step <"$B/current" && [ -r "$B/runs/$g_run/$g_step/change.sh" ]; then
  sh "$B/runs/$g_run/$g_step/change.sh" recover </dev/null >>"$B/runs/$g_run/$g_step/log" 2>&1
elif [ ! -e "$B/current" ]; then
  crontab -l 2>/dev/null | grep -q '# tarsops-guard$' || exit 0
  if crontab -l | grep -qv '# tarsops-guard$'; then crontab -l | sed '/# tarsops-guard$/d' | crontab -
  else crontab -r
  fi
fi
