#!/usr/bin/env bash
# Finds an OCI registry for tests: the program docker-registry, of Debian's package of that name. It starts nothing; the
# test harness does. Prints the program's path.
#
# Taken is the one on PATH, or else the one in ${ROLEWRIGHT_CACHE:-target/cache}/registry. Where neither is there, the
# package is fetched (5 MB) and unpacked into that cache, without installing it, since that would start a server.
set -euo pipefail
# A failure inside $(…) ends the script too.
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ROLEWRIGHT_CACHE:-$root/target/cache}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
readonly root cache

say() { printf 'registry-binaries: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

registry=$(command -v docker-registry || true)
if [[ -z $registry ]]; then
    registry=$cache/registry/docker-registry
    if [[ ! -x $registry ]]; then
        { command -v dpkg && command -v apt-get; } >/dev/null ||
            fail "docker-registry is missing, and this is no Debian to fetch it from. Build it from
  github.com/distribution/distribution (cmd/registry), and put it on PATH as docker-registry."
        say "fetching Debian's package docker-registry"
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        fetch() { (cd "$work" && apt-get download -qq docker-registry >&2); }
        # A new machine has no package lists yet, and old lists may name versions that are gone.
        fetch 2>/dev/null || { apt-get update -qq >&2 && fetch; } || fail "the package could not be fetched. Is there a network?"
        dpkg -x "$work"/docker-registry_*.deb "$work/files"
        mkdir -p "$cache/registry"
        # As the last act, so that an interrupted run leaves nothing half-made.
        cp "$work/files/usr/bin/docker-registry" "$registry.$$"
        mv -T "$registry.$$" "$registry"
    fi
fi
"$registry" --version >/dev/null 2>&1 || fail "$registry does not run on this machine."
echo "$registry"
