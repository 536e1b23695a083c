#!/bin/sh
# Builds dist/{{name}}.wasm. wasm-tools is taken from the PATH; where it is not there, the version of requirements.txt is
# installed from PyPI into .venv, once. (`cargo install wasm-tools` is another way to get it.)
set -eu
cd "$(dirname "$0")"
if ! command -v wasm-tools >/dev/null; then
    [ -x .venv/bin/wasm-tools ] || { python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check -r requirements.txt; }
    PATH=$PWD/.venv/bin:$PATH
fi
mkdir -p dist
core=$(mktemp)
trap 'rm -f "$core"' EXIT
GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o "$core" .
# The world in build/wit has the stages that main.go has.
sh policy/world.sh wit build/wit
wasm-tools component embed build/wit --world policy "$core" -o "$core"
# Go expects WASI; nothing.wat answers in its place, so that the component imports nothing of it.
wasm-tools component new "$core" --adapt wasi_snapshot_preview1=policy/nothing.wat -o dist/{{name}}.wasm
