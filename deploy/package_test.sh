#!/usr/bin/env bash
# Tries the package as people do, in a Debian system of its own that is booted for it: install, pull, generate, chat in a browser
# (this machine's Chromium, in the system's network), upgrade while a model runs, hang, wrong settings, remove, purge
# (tests/deploy/installed_test.sh). Takes some minutes and Debian's mirror.
# Usage: deploy/package_test.sh [--build-dir DIR] [--work DIR]     as root
#   --build-dir  a release build that is there; default: a new one (deploy/package.sh)
#   --work       where the system is made, 2 GiB; default: a temporary folder. It is removed at the end.
# Exits with 77 where it cannot be tried: not root, no debootstrap, or a container in which nothing can be booted. The browser
# alone is left out, and that is said, where Chromium or what drives it cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  echo "deploy/package_test.sh: skipped: $*" >&2
  exit 77
}
fail() {
  echo "deploy/package_test.sh: $*" >&2
  exit 1
}

build=() work=""
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || fail "$1 needs a value, or is no option; see the head of this script"
  case "$1" in
    --build-dir) build=(--build-dir "$2") ;;
    --work) work=$2 ;;
    *) fail "no option $1; see the head of this script" ;;
  esac
  shift 2
done
[ "$(id -u)" -eq 0 ] || skip "only root can make and boot a system"
for tool in debootstrap systemd-nspawn ip; do
  command -v "$tool" >/dev/null || skip "there is no $tool (Debian: debootstrap, systemd-container, iproute2)"
done

if [ -n "$work" ]; then mkdir -p "$work"; else work=$(mktemp -d); fi
root=$work/root
[ ! -e "$root" ] || fail "$root is there already"
network=hearth-package-test-$$ browser=""
ip netns add "$network" || skip "no network namespace can be made here"
clean_up() {
  [ -z "$browser" ] || kill "$browser" 2>/dev/null || true
  ip netns delete "$network"
  rm -rf --one-file-system "$root" "$work/debs" "$work/browser"
  rmdir --ignore-fail-on-non-empty "$work"
}
trap clean_up EXIT
ip -n "$network" link set lo up

echo "== Packages"
new=$(deploy/package.sh "${build[@]}" --version 0.0.2 --out "$work/debs")
du -h "$new"
old=$work/debs/old.deb # the same, but for its version
dpkg-deb --raw-extract "$new" "$work/debs/old"
sed -i 's/^Version: .*/Version: 0.0.1/' "$work/debs/old/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/debs/old" "$old" >/dev/null

echo "== A browser"
has_browser=yes
python3 tests/dashboard/dashboard_test.py --work "$work/browser" prepare || has_browser=no
[ -e "$work/browser/chat.gguf" ] || fail "no model that chats was made"
[ "$has_browser" = yes ] || echo "The chat in a browser is left out, see above" >&2

echo "== A Debian system"
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
debootstrap --variant=minbase --include=systemd-sysv,dbus "$suite" "$root" >"$work/debootstrap.log" 2>&1 ||
  { tail -5 "$work/debootstrap.log" >&2; skip "debootstrap made no system"; }
rm "$work/debootstrap.log"
# In the booted system there is no network: what the package depends on is put there before.
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" apt-get satisfy -qq -y --no-install-recommends "$(dpkg-deb --field "$old" Depends)" >/dev/null
mkdir "$root/test"
cp "$old" "$root/test/old.deb"
cp "$new" "$root/test/new.deb"
cp "$work/browser/chat.gguf" "$root/test/demo.gguf"
cp tests/deploy/installed_test.sh tests/deploy/file_server.pl tests/deploy/sandbox_probe.pl "$root/test"
cat >"$root/etc/systemd/system/installed-test.service" <<'EOF'
[Unit]
Description=Tries the package and powers off
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/test/installed_test.sh >/test/log 2>&1; echo $? >/test/result; systemctl --no-block poweroff'
[Install]
WantedBy=multi-user.target
EOF
chroot "$root" systemctl -q enable installed-test.service

# The system asks for the browser when its daemon has a model.
if [ "$has_browser" = yes ]; then
  mkfifo "$root/test/asks" "$root/test/answers"
  {
    read -r url <"$root/test/asks"
    result=0
    ip netns exec "$network" python3 tests/dashboard/dashboard_test.py --work "$work/browser" chat --url "$url" \
      >"$root/test/browser.log" 2>&1 || result=$?
    echo "$result" >"$root/test/answers"
  } &
  browser=$!
fi

echo "== Boots"
# Without the capabilities the container itself refuses to lock memory and to raise limits.
timeout 900 systemd-nspawn --quiet --directory "$root" --machine "hearth-package-test-$$" --boot --register=no --keep-unit \
  --capability=CAP_IPC_LOCK,CAP_SYS_RESOURCE --network-namespace-path="/run/netns/$network" --console=pipe </dev/null >"$work/boot.log" 2>&1 || true
if [ ! -e "$root/test/log" ]; then
  tail -5 "$work/boot.log" >&2
  rm "$work/boot.log"
  skip "no system can be booted here"
fi
rm "$work/boot.log"
cat "$root/test/log"
[ "$(cat "$root/test/result" 2>/dev/null)" = 0 ] || fail "failed, see above"
echo "== All steps passed"
