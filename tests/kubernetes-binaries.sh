#!/usr/bin/env bash
# Finds a real Kubernetes API server for tests and the demo, and builds it with Go where the machine has none. It starts
# nothing; the test harness does.
#
#     tests/kubernetes-binaries.sh         prints a directory that holds kube-apiserver, etcd and kubectl
#     tests/kubernetes-binaries.sh helm    prints the path of helm
#
# Taken is, in this order,
#
#     KUBEBUILDER_ASSETS   the directory that other Kubernetes projects use (`setup-envtest use -p path` prints one), if it
#                          holds kube-apiserver and etcd; where it has no kubectl, the one on PATH serves
#     the cache            ${ROLEWRIGHT_CACHE:-target/cache}/kubernetes
#     Go 1.26              builds the modules in tests/kubernetes/, in five to ten minutes, into that cache
#
# A cached binary needs neither Go nor a network. Versions are pinned by go.mod and go.sum; when those change, it is
# built again. The binaries can be run by an unprivileged user: where root's cache is closed to others (a clone below
# /root, say), /var/cache/rolewright/kubernetes is taken instead.
set -euo pipefail
# A failure inside $(…) ends the script too.
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ROLEWRIGHT_CACHE:-$root/target/cache}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
readonly root cache open_cache=/var/cache/rolewright modules=$root/tests/kubernetes

say() { printf 'kubernetes-binaries: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

# Prints KUBEBUILDER_ASSETS if it will do. One that was given and will not do is an error: a typing mistake must not
# lead to minutes of compiling.
assets() {
    local assets=${KUBEBUILDER_ASSETS:-}
    [[ -n $assets ]] || return 0
    [[ -x $assets/kube-apiserver && -x $assets/etcd ]] ||
        fail "KUBEBUILDER_ASSETS=$assets does not hold kube-apiserver and etcd. Correct it, or unset it."
    [[ -x $assets/kubectl ]] || command -v kubectl >/dev/null ||
        fail "kubectl is neither in KUBEBUILDER_ASSETS=$assets nor on PATH."
    echo "$assets"
}

# Whether a user without privileges can enter a directory. Only root has to ask: everyone else owns what is built.
open_to_all() {
    [[ $(id -u) != 0 ]] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$1"
}

# Where the binaries are kept: the cache, or for root a place that others can enter.
store() {
    if [[ $(id -u) == 0 ]] && ! command -v setpriv >/dev/null; then
        fail "setpriv (package util-linux) is needed when run as root, to see what other users may enter."
    fi
    umask 022
    local candidate
    for candidate in "$cache" "$open_cache"; do
        mkdir -p "$candidate/kubernetes" 2>/dev/null || continue
        if open_to_all "$candidate/kubernetes"; then
            store_found=$candidate/kubernetes
            return
        fi
    done
    fail "neither $cache nor $open_cache is open to unprivileged users.
  Set ROLEWRIGHT_CACHE to a directory that every user can enter, or run as an ordinary user."
}

# Finds a Go that can build: the one on PATH, or where Go's own installation puts it, which a shell without a profile
# does not have on PATH.
find_go() {
    local candidate version minor
    for candidate in go /usr/local/go/bin/go; do
        version=$(GOTOOLCHAIN=local "$candidate" env GOVERSION 2>/dev/null) || continue
        minor=${version#go1.}
        minor=${minor%%[!0-9]*}
        if [[ ${minor:-0} -ge 26 ]]; then
            [[ $minor == 26 ]] ||
                say "this is $version; known to work is Go 1.26 (1.27 built an API server whose OpenAPI was wrong)"
            go=$candidate
            return
        fi
    done
    fail "the Kubernetes API server for the tests is built with Go 1.26, and this machine has no such Go${version:+ (but $version)}.
  Either install it (https://go.dev/doc/install, into /usr/local/go; Debian's package golang is too old),
  or give binaries: export KUBEBUILDER_ASSETS=DIRECTORY with kube-apiserver, etcd and kubectl, such as
  \`setup-envtest use -p path\` prints."
}

# The version of a module that a go.mod requires.
required() { sed -n "s|^[[:space:]]*\(require \)\?$2 \(v[^ ]*\).*|\2|p" "$modules/$1/go.mod" | head -n 1; }

# Prints the linker's flags for a module. A program built by hand would not know its version: the API server would call
# itself v0.0.0, and helm would render for Kubernetes 1.20.
linker_flags() {
    local flags='-s -w' package version minor
    case $1 in
    kube-apiserver)
        version=$(required "$1" k8s.io/kubernetes)
        minor=${version#v1.}
        for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
            flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
        done
        ;;
    helm)
        version=$(required "$1" k8s.io/client-go)
        minor=${version#v0.}
        for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
            flags+=" -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=${minor%%.*}"
        done
        flags+=" -X helm.sh/helm/v3/internal/version.version=$(required "$1" helm.sh/helm/v3)"
        ;;
    esac
    echo "$flags"
}

# build MODULE PROGRAM PACKAGE: one static program into the directory $work.
build() {
    local flags
    flags=$(linker_flags "$1")
    say "building $2 (once; progress is not shown)"
    (
        cd "$modules/$1"
        # What else the user has set for Go (a proxy, say) stays.
        GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 \
            "$go" build -trimpath -ldflags "$flags" -o "$work/$2" "$3" </dev/null >&2
    ) || fail "$2 could not be built; Go's words are above. Is there a network?"
}

# Changes whenever something else would be built.
stamp() {
    local module
    for module in "$@"; do cat "$modules/$module/go.mod" "$modules/$module/go.sum" && linker_flags "$module"; done |
        sha256sum | cut -c 1-32
}

# cached NAME MODULE…: the directory NAME of the store, filled by the function build_NAME unless it is there as pinned.
# Works aside and moves the result into place as the last act, so an interrupted run leaves nothing half-made that would
# be taken for whole.
cached() {
    local name=$1 wanted
    shift
    wanted=$(stamp "$@")
    store
    local dest=$store_found/$name
    # Two runs at once would compile the same twice, and take each other's half-made directories for left-overs.
    if command -v flock >/dev/null; then
        exec 9>"$store_found/lock"
        flock 9
    fi
    if [[ ! -f $dest/version || $(<"$dest/version") != "$wanted" ]]; then
        find_go
        rm -rf "$store_found/$name".??????
        work=$(mktemp -d "$store_found/$name.XXXXXX")
        # shellcheck disable=SC2064  # the path of now is meant
        trap "rm -rf '$work'" EXIT
        "build_$name"
        printf '%s' "$wanted" >"$work/version"
        chmod -R a+rX "$work"
        rm -rf "$dest"
        mv -T "$work" "$dest"
        trap - EXIT
    fi
    found=$dest
}

build_server() {
    build etcd etcd go.etcd.io/etcd/server/v3
    build kube-apiserver kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
    build kube-apiserver kubectl k8s.io/kubernetes/cmd/kubectl
}

build_helm() {
    build helm helm helm.sh/helm/v3/cmd/helm
}

case $* in
'')
    found=$(assets)
    [[ -n $found ]] || cached server kube-apiserver etcd
    echo "$found"
    ;;
helm)
    cached helm helm
    echo "$found/helm"
    ;;
*) fail "'$*' is not known: ask for nothing (the API server, etcd and kubectl) or for helm." ;;
esac
