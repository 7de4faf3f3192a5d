# ---- the change ------------------------------------------------------------------------------
# Makes the new container beside the old one, which is allowed: addresses and ports are taken at its start.
make_new() {
  if [ -n "$T_RETIRED" ]; then NEW_ID=$T_RETIRED; set_policy "$NEW_ID" no; return; fi
  [ "$T_SECRET" = 0 ] || [ -n "$PASSWORD" ] || { WHY="the password of the installation did not reach this host"; return 1; }
  # One word a line.
  m_ifs=$IFS; IFS=$NL; set -f
  # shellcheck disable=SC2086 # that is meant
  set -- $T_WORDS
  set +f; IFS=$m_ifs
  (
    [ "$T_SECRET" = 0 ] || { set -- "$@" --env MYSQL_ROOT_PASSWORD; export "MYSQL_ROOT_PASSWORD=$PASSWORD"; }
    engine 120 create --pull never --restart no --name "$NEW_NAME" --label "tarsops.cluster=$T_CLUSTER" --label "tarsops.change=$T_RUN.$T_STEP" "$@" "$T_IMAGE" >/dev/null
  ) || { engine_failed "the engine could not make the container"; return 1; }
  PASSWORD=
  find_new || { WHY="the container that was made is not there"; return 1; }
  check_entrypoint "$NEW_ID"
}
# Sets NEW_ID. 1: there is none. 2: that cannot be known.
find_new() {
  NEW_ID=$T_RETIRED
  [ -z "$NEW_ID" ] || { describe "$NEW_ID"; return; }
  n_all=$(engine 30 ps -a -q --no-trunc --filter "label=tarsops.change=$T_RUN.$T_STEP") || { engine_failed "the engine gives no list of its containers"; return 2; }
  [ -n "$n_all" ] || return 1
  case "$n_all" in *"$NL"*) WHY="two containers have the label of this change"; return 2 ;; esac
  NEW_ID=$n_all
}
# From the first word of it on, the old container may be down.
swap() {
  if [ -n "$T_OLD" ]; then
    set_policy "$T_OLD" no || return 1
    set_phase stopping || { WHY="could not write below $B: no space left or read-only"; return 1; }
    [ "$OLD_RAN" = 0 ] || stop_container "$T_OLD" || return 1
    describe "$T_OLD" || return 1
    case "$C_STATE" in exited | created | dead) ;; *) WHY="the old container is $C_STATE after it was stopped"; return 1 ;; esac
    rename_container "$T_OLD" "$RETIRED_NAME" || return 1
  else
    set_phase stopping || { WHY="could not write below $B: no space left or read-only"; return 1; }
  fi
  rename_container "$NEW_ID" "$T_NAME" || return 1
  start_container "$NEW_ID" || return 1
  wait_healthy new "$T_SETTLE" "$T_DEADLINE" || { note "not healthy: $WHY"; return 1; }
}
# The new container is healthy: what is left can be done again from here on.
settle() {
  set_policy "$NEW_ID" "$T_POLICY" || return 1
  describe "$NEW_ID" || return 1
  [ "$C_NAME/$C_POLICY/$C_STATE" = "$T_NAME/$T_POLICY/running" ] || { WHY="the new container is $C_STATE, with the name $C_NAME and the policy $C_POLICY"; return 1; }
  [ -z "$T_OLD" ] || note_retired
}
# Containers that were made by hand have no label of ours. Those that we have replaced are listed, for the day on
# which they are removed.
note_retired() {
  grep -qsxF "$T_OLD" "$B/retired" || printf '%s\n' "$T_OLD" >>"$B/retired" || note "could not write $B/retired"
  flush "$B/retired"
}

