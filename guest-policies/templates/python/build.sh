#!/bin/sh
# Builds dist/{{name}}.wasm. componentize-py is taken from the PATH; where it is not there, the version of
# requirements.txt is installed into .venv, once.
set -eu
cd "$(dirname "$0")"
if ! command -v componentize-py >/dev/null; then
    [ -x .venv/bin/componentize-py ] || { python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check -r requirements.txt; }
    PATH=$PWD/.venv/bin:$PATH
fi
mkdir -p dist
# The world in build/wit has the stages that policy.py has.
python3 -B -m rolewright_policy.prepare
# -s: the component imports nothing of WASI.
componentize-py -q -d build/wit -w policy componentize rolewright_policy.component -p . -s -o dist/{{name}}.wasm
