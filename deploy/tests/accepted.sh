#!/usr/bin/env bash
# Has a real API server judge everything that the chart and the kustomizations give, without making it
# (kubectl apply --dry-run=server): unknown fields, wrong types, admission. Then the pod by itself, in a namespace that
# enforces restricted Pod Security; and, made for real, the Role: what the ServiceAccount may do, and what not.
#
# KUBECONFIG names the server, which should be a throwaway one. CRDs are installed, and namespaces whose names begin with
# rolewright-deploy. Needs kubectl, and helm (HELM names another one); without helm the chart itself is left out.
set -euo pipefail
shopt -s inherit_errexit

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly helm=${HELM:-helm} namespace=rolewright-deploy
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'accepted: %s\n' "$*" >&2
    exit 1
}

namespace() {
    kubectl create namespace "$1" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
    kubectl label namespace "$1" --overwrite pod-security.kubernetes.io/{enforce,warn}=restricted >/dev/null
}

# A warning (of Pod Security, of something deprecated) is not let pass either.
judge() {
    local what=$1 file=$2
    if ! kubectl apply --dry-run=server --validate=strict --warnings-as-errors -f "$file" >"$work/answer" 2>&1; then
        cat "$work/answer" >&2
        fail "$what is not accepted"
    fi
    printf 'accepted: %-28s %s objects\n' "$what" "$(grep -c 'dry run' "$work/answer")"
}

kubectl apply -f tests/crds.yaml >/dev/null
kubectl wait --for=condition=Established --timeout=30s -f tests/crds.yaml >/dev/null
# The kustomizations name the namespace postgres.
namespace "$namespace"
namespace postgres

for overlay in base fleet; do
    kubectl kustomize "kustomize/$overlay" >"$work/$overlay.yaml"
    judge "kustomize $overlay" "$work/$overlay.yaml"
done
mkdir "$work/monitored"
cp -r kustomize/base kustomize/monitoring "$work/monitored/"
printf 'resources: [base]\ncomponents: [monitoring]\n' >"$work/monitored/kustomization.yaml"
kubectl kustomize "$work/monitored" >"$work/monitored.yaml"
judge "kustomize with monitoring" "$work/monitored.yaml"

if command -v "$helm" >/dev/null; then
    chart() {
        local what=$1
        shift
        "$helm" template rolewright chart --namespace "$namespace" --kube-version 1.32.0 "$@" >"$work/chart.yaml"
        judge "chart, $what" "$work/chart.yaml"
    }
    chart "as it is"
    chart "everything on" --set secrets.names='{user-alice-secret}' --set database.sslmode=verify-full \
        --set database.ca.secret=cluster-ca,policies.configMap=chain,settings.reassignOwnedTo=owner \
        --set settings.protectedRoles='{a b,c}',settings.allowedPowers='{CREATEROLE}' \
        --set 'secrets.generated={user-app-secret}' --set database.applicationHost=db.example.com,database.applicationPort=6432 \
        --set settings.targetLabels.environment=production,settings.targetLabels.tier=gold \
        --set serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true \
        --set 'users.create=true,users.list[0].username=alice,users.list[0].database=postgres' \
        --set 'networkPolicy.database.to[0].podSelector.matchLabels.app=db,priorityClassName=system-cluster-critical'
    chart "one replica with a claim" --set replicas=1,state.existingClaim=claim,leaderElection.enabled=false
    chart "a fleet" --set secrets.mode=namespace,secrets.selector=rolewright.dev/user=true
    chart "on OpenShift" --set runAsUser=null --set 'networkPolicy.dns.ports={53,5353}'
else
    printf 'accepted: the chart itself is not tried, since helm is missing\n'
fi

# The Deployment only warns of what Pod Security would refuse; a pod is refused.
{
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: rolewright, namespace: %s}\n' "$namespace"
    awk '/^  template:$/ { on = 1; next } on && /^  [a-z]/ { on = 0 } on && /^    spec:$/ { in_spec = 1 } in_spec && on' \
        kustomize/base/deployment.yaml | sed -e 's/^    //' -e '/matchLabelKeys/d'
} >"$work/pod.yaml"
judge "the pod, restricted" "$work/pod.yaml"

# The rights, asked of the server with the Role in force: VERDICT VERB RESOURCE[/NAME].
rights() {
    local what=$1 role=$2 verdict verb resource answer
    kubectl apply -f "$role" >/dev/null
    while read -r verdict verb resource; do
        answer=$(kubectl auth can-i "$verb" "$resource" -n postgres --as=system:serviceaccount:postgres:rolewright 2>/dev/null || true)
        [[ $answer == "$verdict" ]] || fail "$what: may $verb $resource? The server says $answer, and it should be $verdict"
    done
    printf 'accepted: the rights of %s\n' "$what"
}

rights "names mode" "$work/base.yaml" <<'RIGHTS'
yes list configmaps/postgres-users-config
yes watch configmaps/postgres-users-config
no get configmaps/postgres-users-config
no patch configmaps/postgres-users-config
no list configmaps
yes list secrets/user-alice-secret
yes watch secrets/bobs-login
no list secrets/user-carol-secret
no list secrets
no get secrets/user-alice-secret
no patch secrets/user-alice-secret
yes get configmaps/postgres-users-config-status
yes create configmaps/postgres-users-config-status
yes patch configmaps/postgres-users-config-status
no delete configmaps/postgres-users-config-status
no create configmaps
yes get leases.coordination.k8s.io/postgres-users-config
yes create leases.coordination.k8s.io/postgres-users-config
yes patch leases.coordination.k8s.io/postgres-users-config
no patch leases.coordination.k8s.io/another
yes create events.events.k8s.io
yes patch events.events.k8s.io
no list events.events.k8s.io
no list pods
RIGHTS
rights "fleet mode" "$work/fleet.yaml" <<'RIGHTS'
yes list secrets
yes watch secrets
no get secrets
no patch secrets
no list configmaps
RIGHTS
