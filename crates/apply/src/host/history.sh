# Tells which runs this host remembers. Sent on standard input; H_INSTALL, H_CLUSTER and H_LIMIT before it.
# Answer: `tarsops-history/1`, per change `change run step base64-intent verdict base64-text
# base64-gate` (newest run first), last `end`. The gate is what the run made of a change with which
# the host was healthy.
history() {
  state_folder "$H_INSTALL" "$H_CLUSTER"
  B=${S_OLD:-$B}
  echo tarsops-history/1
  # What others could have written there is not read.
  if [ -d "$B" ] && ! trusted "$B"; then echo end; return; fi
  if [ -d "$B" ] && [ ! -x "$B" ]; then echo "no-access"; fi
  # shellcheck disable=SC2012 # names of runs are digits and letters
  for h_run in $(ls "$B/runs" 2>/dev/null | sort -r | head -n "$H_LIMIT"); do
    for h_dir in "$B/runs/$h_run"/*/; do
      h_dir=${h_dir%/}
      [ -r "$h_dir/intent" ] || continue
      h_word=unfinished h_text=
      if [ -r "$h_dir/verdict" ]; then { IFS= read -r h_word; IFS= read -r h_text; } <"$h_dir/verdict"; fi
      case "$h_word" in
        ok | rolled-back | moved | refused | rebuild | late | fenced | busy | failed | stuck | unfinished) ;;
        *) h_word=damaged h_text= ;;
      esac
      h_gate=
      [ "$h_word" != ok ] || [ ! -r "$h_dir/gate" ] || h_gate=$(enc <"$h_dir/gate")
      h_text=$(printf '%s' "$h_text" | enc)
      printf 'change %s %s %s %s %s %s\n' "$h_run" "${h_dir##*/}" "$(enc <"$h_dir/intent")" "$h_word" "${h_text:--}" "${h_gate:--}"
    done
  done
  echo end
}
history </dev/null
exit 0
