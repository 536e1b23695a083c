#!/usr/bin/env bash
# Renders the plain manifests of deploy/kustomize and deploy/alerts.yaml from the chart, the only place where they are
# edited. It talks to no cluster.
#
#     deploy/manifests.sh         writes them
#     deploy/manifests.sh check   fails if what is there is not what the chart gives, or if the overlay `fleet` differs
#                                 from the chart with secrets.mode=namespace
#
# Needs helm (HELM names another one), and kubectl for `check`.
set -euo pipefail
shopt -s inherit_errexit

cd "$(dirname "${BASH_SOURCE[0]}")"
readonly helm=${HELM:-helm} namespace=postgres
# kustomize sets no names in expressions, so these name the series by the job alone.
readonly monitoring=(--set 'prometheusRule.selector=job="rolewright"')

fail() {
    printf 'manifests: %s\n' "$*" >&2
    exit 1
}

command -v "$helm" >/dev/null || fail "helm is missing; install it from https://helm.sh, or name it in HELM"

# What the chart gives with these settings, below DIRECTORY/rolewright/templates. What only helm can use is left out.
render() {
    local directory=$1
    shift
    "$helm" template rolewright chart --namespace "$namespace" --kube-version 1.32.0 --output-dir "$directory" "$@" >/dev/null
    local file
    for file in "$directory"/rolewright/templates/*.yaml; do
        sed -e '1{/^---$/d;}' -e '/^# Source: /d' -e '/^ *helm\.sh\/chart: /d' \
            -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' "$file" >"$file.clean"
        mv "$file.clean" "$file"
    done
}

# names_of FILE…: the entries of `resources` in a kustomization.
names_of() { printf '  - %s\n' "${@##*/}"; }

# Everything, into a directory that looks like this one.
write() {
    local out=$1 work=$1/work files
    mkdir -p "$out/kustomize/base" "$out/kustomize/monitoring"

    render "$work/base" --set 'secrets.names={user-alice-secret,bobs-login}'
    files=("$work"/base/rolewright/templates/*.yaml)
    cp "${files[@]}" "$out/kustomize/base/"
    cat >"$out/kustomize/base/kustomization.yaml" <<YAML
# Rendered from deploy/chart by deploy/manifests.sh; edit there. Point an overlay of your own here, and patch what differs:
# the image, DB_HOST, the Secret of DB_PASS, and the names of your users' Secrets in the Role. The overlay ../fleet shows
# how, and docs/operations.md says more.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $namespace
resources:
$(names_of "${files[@]}")
YAML

    render "$work/monitoring" "${monitoring[@]}" --set serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true
    files=("$work"/monitoring/rolewright/templates/{dashboard,prometheusrule,servicemonitor}.yaml)
    cp "${files[@]}" "$out/kustomize/monitoring/"
    cat >"$out/kustomize/monitoring/kustomization.yaml" <<YAML
# Rendered from deploy/chart by deploy/manifests.sh; edit there. For clusters with the Prometheus operator: list this
# directory under \`components\` of your overlay.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources:
$(names_of "${files[@]}")
YAML

    {
        printf '# Alerts for a Prometheus that reads rule files. Rendered from deploy/chart by deploy/manifests.sh; edit there.\n'
        sed -n '/^spec:$/,$p' "$out/kustomize/monitoring/prometheusrule.yaml" | sed -e 1d -e 's/^  //'
    } >"$out/alerts.yaml"
    rm -r "$work"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
write "$work"

case ${1:-} in
'')
    for directory in base monitoring; do
        rm -rf "kustomize/$directory"
        cp -r "$work/kustomize/$directory" kustomize/
    done
    cp "$work/alerts.yaml" .
    ;;
check)
    for path in kustomize/base kustomize/monitoring alerts.yaml; do
        diff -ru "$path" "$work/$path" >&2 ||
            fail "deploy/$path is not what the chart gives (+ is the chart's); run make manifests and commit the result"
    done
    command -v kubectl >/dev/null || fail "kubectl is missing; install it, so that the overlays can be checked"
    render "$work/fleet" --set secrets.mode=namespace
    files=("$work"/fleet/rolewright/templates/*.yaml)
    cat >"$work/fleet/rolewright/templates/kustomization.yaml" <<YAML
namespace: $namespace
resources:
$(names_of "${files[@]}")
YAML
    # Order of keys and objects, and comments, do not count.
    kubectl kustomize kustomize/fleet >"$work/overlay.yaml"
    kubectl kustomize "$work/fleet/rolewright/templates" >"$work/chart.yaml"
    diff -u "$work/overlay.yaml" "$work/chart.yaml" >&2 ||
        fail "deploy/kustomize/fleet is not the chart with secrets.mode=namespace (+ is the chart's); correct its patches"
    ;;
*) fail "usage: deploy/manifests.sh [check]" ;;
esac
