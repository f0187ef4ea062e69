#!/usr/bin/env bash
# Run by deploy/package_test.sh in a booted system that has /test/old.deb, /test/new.deb, /test/demo.gguf,
# /test/file_server.pl and /test/sandbox_probe.pl: the life of an installed Hearth, step by step. The first step that fails ends it.
# Where the pipes /test/asks and /test/answers are, a browser at the other end chats with the daemon whose address it is told.
# Usage: installed_test.sh
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

step() { printf '\n== %s\n' "$*"; }
fail() {
  echo "FAILED: $*"
  systemctl status --no-pager hearthd || true
  journalctl --no-pager -u hearthd | tail -40
  exit 1
}
show() { systemctl show --property "$1" --value hearthd; }
# await WORDS COMMAND...: until the command succeeds, for half a minute.
await() {
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$what: has not happened within 30 s"
}
# Whether there is another daemon than the process PID, and it answers.
runs_anew() { [ "$(show ActiveState)" = active ] && [ "$(show MainPID)" != "$1" ]; }
# As a user of the machine who is nobody in particular.
as_user() { setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; }
generate() { as_user hearth generate --max-tokens 24 --temperature 0 'And it came to pass'; }

step "Install: the service runs at once, as a user of its own"
apt-get install -qq -y /test/old.deb 2>&1 | grep -v '^Selecting\|^Preparing\|^Unpacking\|database' || true
[ "$(systemctl is-active hearthd)" = active ] || fail "the service does not run"
[ "$(systemctl is-enabled hearthd)" = enabled ] || fail "the service does not start with the machine"
[ "$(stat -c %U "/proc/$(show MainPID)")" = hearth ] || fail "it runs as somebody else"
echo "status: $(show StatusText)"
[ "$(show StatusText)" = "ready on 127.0.0.1:7770, no models" ] || fail "its status is: $(show StatusText)"
stat -c '%A %U:%G %n' /etc/hearth/hearthd.toml /var/lib/hearth /var/lib/hearth/models /var/cache/hearth /run/hearth/port
[ "$(cat /run/hearth/port)" = 7770 ] || fail "/run/hearth/port says $(cat /run/hearth/port)"
grep 'Max locked memory\|Max open files' "/proc/$(show MainPID)/limits"
systemd-analyze verify --man=no /usr/lib/systemd/system/hearthd.service || fail "systemd-analyze verify"
systemd-analyze security --no-pager hearthd | tail -1
as_user hearth status | head -12

step "The catalogue is there, and says what to expect"
as_user hearth models --catalogue | tail -3
as_user hearth show smollm2-135m | grep '^here     fits your home at' || fail "nothing is expected of a small model"

step "A model that root pulls is the service's, and generates and chats once it is loaded"
perl /test/file_server.pl /test/demo.gguf 8999 &
server=$!
await "a server" bash -c 'exec 3<>/dev/tcp/127.0.0.1/8999'
hearth pull http://127.0.0.1:8999/demo.gguf --sha256 "$(sha256sum /test/demo.gguf | cut -d' ' -f1)"
kill "$server"
stat -c '%A %U:%G %n' /var/lib/hearth/models/demo.gguf
[ "$(stat -c %U /var/lib/hearth/models/demo.gguf)" = hearth ] || fail "it is not the service's"
hearth load demo
text=$(generate)
echo "$text"
[ -n "$text" ] || fail "no text"
[ -n "$(echo 'In the beginning' | as_user hearth chat --max-tokens 8)" ] || fail "no chat"

step "Chat in a browser: the dashboard of the installed daemon"
if [ -p /test/asks ]; then
  echo http://127.0.0.1:7780/ >/test/asks
  answer=$(timeout 300 cat /test/answers) || fail "the browser has not answered within 5 minutes"
  cat /test/browser.log
  [ "$answer" = 0 ] || fail "the chat in the browser"
else
  echo "left out: no Chromium on the machine that tests"
fi

step "What the daemon needs is allowed in its sandbox, other things are not"
install -D -m 644 /test/demo.gguf /home/somebody/model
sed -e 's|^Type=.*|Type=oneshot|; s|^ExecStart=.*|ExecStart=/usr/bin/perl /test/sandbox_probe.pl|; /^WatchdogSec/d; /^Restart/d; /^RuntimeDirectory/d' \
  /usr/lib/systemd/system/hearthd.service >/etc/systemd/system/sandbox-probe.service
systemctl daemon-reload
result=0
systemctl start sandbox-probe || result=$?
journalctl --no-pager -u sandbox-probe -o cat | grep '^ok\|^WRONG'
[ "$result" = 0 ] || fail "the sandbox is not as it should be"
rm /etc/systemd/system/sandbox-probe.service

step "A daemon that is killed, or that hangs, is there again with its model"
pid=$(show MainPID)
kill -KILL "$pid"
await "the restart" runs_anew "$pid"
await "the model" generate
mkdir -p /etc/systemd/system/hearthd.service.d
printf '[Service]\nWatchdogSec=2s\nRestartSec=100ms\n' >/etc/systemd/system/hearthd.service.d/test.conf
systemctl daemon-reload
systemctl restart hearthd
pid=$(show MainPID)
# Signs of life go on for three times as long as the watchdog waits.
has_lived() { [ "$(show WatchdogTimestampMonotonic)" -gt $(($(show ActiveEnterTimestampMonotonic) + 6000000)) ]; }
await "six seconds of a daemon that is well" has_lived
[ "$(show MainPID)" = "$pid" ] || fail "a daemon that was well has been ended"
[ "$(show StatusText)" = "ready on 127.0.0.1:7770, 1 model" ] || fail "its status is: $(show StatusText)"
kill -STOP "$pid"
await "the restart" runs_anew "$pid"
journalctl --no-pager -u hearthd | grep -m1 'Watchdog timeout' || fail "it was not the watchdog"
rm -r /etc/systemd/system/hearthd.service.d
systemctl daemon-reload
systemctl restart hearthd
await "the model" generate

step "Upgrade while a model generates: the new daemon has the model, streams go on, settings that were changed stay"
echo 'slots = 3' >>/etc/hearth/hearthd.toml
pid=$(show MainPID)
# One stream after the other. One that has begun goes on with the new daemon; only while there is none no other begins.
streams() {
  while [ ! -e /test/enough ]; do
    as_user hearth generate --max-tokens 400 --ignore-eos 'And it came to pass' >/test/stream 2>/test/stream.said && continue
    [ ! -s /test/stream ] || return
    sleep 0.1
  done
}
streams &
stream=$!
await "the stream" test -s /test/stream
apt-get install -qq -y /test/new.deb 2>&1 | grep -v '^Preparing\|^Unpacking\|database' || true
touch /test/enough
wait "$stream" || fail "a stream ended with the old daemon: $(tail -1 /test/stream.said)"
dpkg-query -W hearth
[ "$(show MainPID)" != "$pid" ] || fail "the old daemon runs on"
await "the model" generate
[ "$(generate)" = "$text" ] || fail "another text: $(generate)"
grep -q '^slots = 3' /etc/hearth/hearthd.toml || fail "the settings are gone"
systemctl stop hearthd
apt-get install -qq -y --reinstall /test/new.deb >/dev/null 2>&1
[ "$(systemctl is-active hearthd)" = inactive ] || fail "a service that was stopped runs after an upgrade"

step "Wrong settings: one line, and no start after the other"
echo 'colour = "red"' >>/etc/hearth/hearthd.toml
systemctl start hearthd 2>/dev/null && fail "it runs with wrong settings"
[ "$(show Result):$(show NRestarts)" = "exit-code:0" ] || fail "$(show Result), $(show NRestarts) restarts"
journalctl --no-pager -u hearthd -o cat | grep 'colour' || fail "the journal does not say why"
sed -i '/^colour/d' /etc/hearth/hearthd.toml
systemctl start hearthd

step "Remove: the service is gone, settings and state are left"
apt-get remove -qq -y hearth >/dev/null 2>&1
systemctl is-active -q hearthd && fail "it still runs"
[ -e /usr/bin/hearthd ] && fail "the program is still there"
find /etc/hearth /var/lib/hearth /var/cache/hearth | sort

step "Purge: users' models are left, nothing else"
apt-get purge -qq -y hearth 2>&1 | grep models || fail "nothing is said about the models"
left=$(find / -xdev \( -path /proc -o -path /sys -o -path /test -o -path /var/log \) -prune -o -iname '*hearth*' -print | sort)
models=$(find /var/lib/hearth -type f)
echo "$left"
echo "$models"
[ "$left" = /var/lib/hearth ] || fail "more is left than the models"
[ "$models" = /var/lib/hearth/models/demo.gguf ] || fail "models are gone"
getent passwd hearth

step "Purge without models leaves no folder"
rm /var/lib/hearth/models/*
apt-get install -qq -y /test/new.deb >/dev/null 2>&1
[ "$(systemctl is-active hearthd)" = active ] || fail "it does not run after it was purged"
apt-get purge -qq -y hearth >/dev/null 2>&1
[ ! -e /var/lib/hearth ] || fail "/var/lib/hearth is left: $(find /var/lib/hearth)"
