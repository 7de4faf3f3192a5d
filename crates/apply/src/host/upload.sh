# Receives one payload on standard input. Lines first: install path, sha256, size in bytes; then
# the bytes. Runs as `sh -c`; `read` takes no byte beyond its line.
IFS= read -r U_INSTALL; IFS= read -r U_SHA; IFS= read -r U_SIZE
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
B=$U_INSTALL/.tarsops
say() { echo "tarsops-upload/1 $1"; exit 0; }
umask 022
[ -d "$U_INSTALL" ] || mkdir -p "$U_INSTALL" 2>/dev/null || { cat >/dev/null; say "failed could not make $U_INSTALL"; }
umask 077
mkdir -p "$B/stage" 2>/dev/null || { cat >/dev/null; say "failed could not make $B/stage: no space left, read-only, or no right to"; }
P=$B/stage/$U_SHA.part.$$
cat >"$P" 2>/dev/null || { rm -f "$P"; cat >/dev/null; say "failed could not write $U_SIZE bytes below $B/stage: no space left or read-only"; }
if command -v openssl >/dev/null 2>&1; then H=$(openssl dgst -sha256 -r <"$P" | cut -d" " -f1)
elif command -v sha256sum >/dev/null 2>&1; then H=$(sha256sum <"$P" | cut -d" " -f1)
elif command -v busybox >/dev/null 2>&1; then H=$(busybox sha256sum <"$P" | cut -d" " -f1)
else H=$(shasum -a 256 <"$P" | cut -d" " -f1)
fi
[ "$H" = "$U_SHA" ] || { rm -f "$P"; say "failed the payload arrived damaged or incomplete"; }
{ sync "$P" 2>/dev/null || sync; } && mv -f "$P" "$B/stage/$U_SHA" || { rm -f "$P"; say "failed could not keep the payload below $B/stage"; }
say ok
