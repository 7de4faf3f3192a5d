# Receives one payload on standard input. Lines first: install path, cluster, sha256, size in bytes;
# then the bytes. `read` takes no byte beyond its line.
IFS= read -r U_INSTALL; IFS= read -r U_CLUSTER; IFS= read -r U_SHA; IFS= read -r U_SIZE
say() { echo "tarsops-upload/1 $1"; exit 0; }
state_folder "$U_INSTALL" "$U_CLUSTER"
make_state "$U_INSTALL" </dev/null || { cat >/dev/null; say "failed $STATE_WHY"; }
umask 077
[ -d "$B/stage" ] || mkdir -p "$B/stage" 2>/dev/null || { cat >/dev/null; say "failed could not make $B/stage: no space left, read-only, or no right to"; }
P=$B/stage/$U_SHA.part.$$
head -c "$U_SIZE" >"$P" 2>/dev/null || { rm -f "$P"; cat >/dev/null; say "failed could not write $U_SIZE bytes below $B/stage: no space left or read-only"; }
sha "$P"
[ "$SHA" = "$U_SHA" ] || { rm -f "$P"; say "failed the payload arrived damaged or incomplete"; }
flush "$P" && mv -f "$P" "$B/stage/$U_SHA" || { rm -f "$P"; say "failed could not keep the payload below $B/stage"; }
say ok
