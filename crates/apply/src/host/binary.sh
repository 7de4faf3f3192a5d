# Prints the installed binary of a component. Variables before it: G_INSTALL, G_CLUSTER, G_USER,
# G_COMPONENT, and G_SECONDS: the time after which a host that we have left gives up.
# Root reads with the rights of the user who can put files there, so a link leads no further than
# that user can read.
print_binary() {
  state_folder "$G_INSTALL" "$G_CLUSTER"
  cd "$G_INSTALL" || exit 1
  g_folder=tars/$G_COMPONENT
  tree_rights "$G_INSTALL" "$G_USER" tars "$g_folder" "$g_folder/bin"
  [ -z "$AS_WHY" ] || { echo "$AS_WHY" >&2; exit 1; }
  g_file=$g_folder/bin/$G_COMPONENT
  [ -f "$g_file" ] || { echo "it is not a regular file" >&2; exit 3; }
  if [ -n "$AS_UID" ]; then as_user "$G_SECONDS" cat "$g_file"
  elif timeout 1 true 2>/dev/null; then exec timeout "$G_SECONDS" cat "$g_file"
  else exec cat "$g_file"
  fi
}
print_binary </dev/null
