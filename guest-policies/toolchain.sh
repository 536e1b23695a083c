#!/usr/bin/env bash
# Sees to it that policies can be compiled to WebAssembly: finds a rustc that has the standard library of
# wasm32-unknown-unknown, and where there is none, installs or builds one. It does not compile any policy.
#
# The last line on standard output is the setting that a guest build needs, for `export "$(…)"` or `eval`:
#
#     ROLEWRIGHT_GUEST_RUSTC=/path/to/rustc
#
# Everything else goes to standard error. The roads, in this order:
#
#   1. ROLEWRIGHT_GUEST_RUSTC is set already, or the active rustc has the target: used as it is.
#   2. Debian, as root: the packages rustc-web, cargo-web, rust-web-src and lld-22 bring a compiler with the source of
#      its library. The library is compiled once (half a minute) into ${ROLEWRIGHT_CACHE:-target/cache}/wasm32.
#      A library that was built there before is used without asking for root again.
#   3. rustup: `rustup target add wasm32-unknown-unknown`.
set -euo pipefail

readonly target=wasm32-unknown-unknown
readonly packages=(rustc-web cargo-web rust-web-src lld-22)
# Raise this number when the way the library is built changes, so that older caches are built anew.
readonly recipe=2

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ROLEWRIGHT_CACHE:-$root/target/cache}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
readonly root cache dest=$cache/wasm32

say() { printf 'toolchain: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

answer() {
    printf 'ROLEWRIGHT_GUEST_RUSTC=%s\n' "$1"
    exit 0
}

# Whether this compiler finds a standard library for the target. (`rustc --print` names the directory even when it is
# empty, so look inside.)
has_target() {
    local directory
    directory=$("$1" --print target-libdir --target "$target" 2>/dev/null) || return 1
    compgen -G "$directory/libstd-*.rlib" >/dev/null
}

# What a finished cache must have been built from. Debian's compiler refuses libraries of any other version.
expected_stamp() { printf 'recipe %s, %s' "$recipe" "$(/usr/bin/rustc --version 2>/dev/null)"; }

cache_is_ready() {
    [[ -x $dest/bin/rustc && -f $dest/stamp && -x /usr/bin/rustc ]] && [[ $(<"$dest/stamp") == "$(expected_stamp)" ]]
}

packages_installed() {
    command -v dpkg-query >/dev/null || return 1
    local package
    for package in "${packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || return 1
    done
}

install_packages() {
    say "installing Debian's ${packages[*]} (about 150 MB, once)"
    export DEBIAN_FRONTEND=noninteractive
    # Lists that are a day old may name versions that the mirrors no longer have.
    apt-get update -qq >&2 </dev/null || say "apt-get update failed; going on with the package lists as they are"
    # --no-remove: rustc-web conflicts with Debian's packages rustc and rustup, and taking those away unasked would be
    # worse than failing here.
    apt-get install -y -qq --no-install-recommends --no-remove "${packages[@]}" >&2 </dev/null
}

find_linker() {
    local candidate
    for candidate in /usr/bin/lld-22 "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$1/bin/rust-lld" /usr/bin/lld; do
        if [[ -x $candidate ]]; then
            printf '%s' "$candidate"
            return
        fi
    done
    return 1
}

# Compiles the standard library from Debian's source and arranges a sysroot around it. Runs in a subshell: it builds
# aside and moves the result into place as its last act, so an interrupted run leaves nothing half-made behind.
build_library() (
    local host linker work
    host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
    linker=$(find_linker "$host") || fail "no WebAssembly linker found: lld-22 should have brought /usr/bin/lld-22."
    work=$(mktemp -d "$cache/wasm32.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    say "compiling the standard library for $target (about half a minute, once)"
    mkdir -p "$work/build/src" "$work/sysroot"
    printf '#![no_std]\n' >"$work/build/src/lib.rs"
    # The empty [workspace] keeps cargo from taking a Cargo.toml further up for this crate's workspace.
    cat >"$work/build/Cargo.toml" <<'TOML'
[package]
name = "empty"
version = "0.0.0"
edition = "2021"

[profile.release]
panic = "abort"

[workspace]
TOML
    # RUSTC_BOOTSTRAP admits -Zbuild-std on a stable compiler. Bitcode is embedded because guests are linked with LTO.
    # Panic messages name source files; the person's home, which would end up in every guest, is cut off them.
    # The person's own flags, wrappers and target directories are left out: they are meant for another compiler.
    if ! (
        cd "$work/build"
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER \
            CARGO_BUILD_TARGET CARGO_BUILD_RUSTC RUSTUP_TOOLCHAIN
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$work/build/target \
            CARGO_ENCODED_RUSTFLAGS="-Cembed-bitcode=yes"$'\x1f'"--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=registry" \
            /usr/bin/cargo build --release --target "$target" -Zbuild-std=std,panic_abort
    ) >"$work/log" 2>&1 </dev/null; then
        cat "$work/log" >&2
        fail "Debian's compiler could not build its library; its words are above. (It fetches a few crates: is there a network?)"
    fi

    local library=$work/sysroot/lib/rustlib
    mkdir -p "$library/$target/lib" "$library/$host/bin" "$work/sysroot/bin"
    cp "$work/build/target/$target/release/deps/"*.rlib "$library/$target/lib/"
    rm -f "$library/$target/lib/"libempty-*.rlib
    # Links suffice for what belongs to /usr/bin/rustc: without that compiler the rest is of no use either.
    ln -s "/usr/lib/rustlib/$host/lib" "$library/$host/lib"
    ln -s /usr/lib/rustlib/src "$library/src"
    # A copy that knows its own place would not find its shared libraries; rust-lld is called by this very name.
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$linker" >"$library/$host/bin/rust-lld"
    # The sysroot is found from where the script lies, so the cache may be moved.
    cat >"$work/sysroot/bin/rustc" <<'SH'
#!/bin/sh
# Debian's rustc with a standard library for wasm32-unknown-unknown. Made by guest-policies/toolchain.sh.
exec /usr/bin/rustc --sysroot "$(dirname "$(dirname "$(readlink -f "$0")")")" "$@"
SH
    chmod 0755 "$library/$host/bin/rust-lld" "$work/sysroot/bin/rustc"
    expected_stamp >"$work/sysroot/stamp"
    has_target "$work/sysroot/bin/rustc" || fail "the library was built, but rustc does not find it in $work/sysroot."
    rm -rf "$dest"
    mv -T "$work/sysroot" "$dest"
)

if [[ -n ${ROLEWRIGHT_GUEST_RUSTC:-} ]]; then
    has_target "$ROLEWRIGHT_GUEST_RUSTC" && answer "$ROLEWRIGHT_GUEST_RUSTC"
    say "ROLEWRIGHT_GUEST_RUSTC=$ROLEWRIGHT_GUEST_RUSTC has no standard library for $target; looking for another."
fi
has_target "${RUSTC:-rustc}" && answer "${RUSTC:-rustc}"
cache_is_ready && answer "$dest/bin/rustc"

mkdir -p "$cache"
# Two builds at once would only do the same work twice, on the same cores.
if command -v flock >/dev/null; then
    exec 9>"$cache/wasm32.lock"
    flock 9
    cache_is_ready && answer "$dest/bin/rustc"
    # Left by runs that were killed outright. None is in use while the lock is held.
    rm -rf "$cache"/wasm32.??????
fi

if ! packages_installed && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    install_packages || say "the packages could not be installed (apt's words are above)."
fi
if packages_installed; then
    build_library
    answer "$dest/bin/rustc"
fi
if command -v rustup >/dev/null; then
    say "asking rustup for $target"
    if rustup target add "$target" >&2 </dev/null && has_target rustc; then
        answer rustc
    fi
fi

fail "no standard library for $target was found, and none could be installed.
  A policy module is compiled to WebAssembly and needs it. One of these helps:
    rustup target add $target
    on Debian, as root: apt-get install ${packages[*]}, and then this script again
    ROLEWRIGHT_GUEST_RUSTC=/path/to/a/rustc that has the target"
