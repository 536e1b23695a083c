#!/usr/bin/env bash
# Runs the unit tests of the alerts, and has every query of the dashboard parsed. Also: a metric that either of them names
# has to be in the table of docs/operations.md, and each alert needs its section there.
#
# Needs promtool. Where it is missing, Debian's package prometheus is fetched (19 MB) and unpacked into the cache, without
# installing it, since that would start a server.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${ROLEWRIGHT_CACHE:-$root/target/cache}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
readonly root cache operations=$root/docs/operations.md chart=$root/deploy/chart/files

fail() {
    printf 'alerts: %s\n' "$*" >&2
    exit 1
}

promtool=$(command -v promtool || true)
if [[ -z $promtool ]]; then
    promtool=$cache/promtool
    if [[ ! -x $promtool ]]; then
        command -v dpkg >/dev/null || fail "promtool is missing; it comes with Prometheus: https://prometheus.io/download"
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        fetch() { (cd "$work" && apt-get download -qq prometheus >&2); }
        # A new machine has no package lists yet, and old lists may name versions that are gone.
        fetch 2>/dev/null || { apt-get update -qq >&2 && fetch; } || fail "Debian's package prometheus could not be fetched"
        dpkg -x "$work"/prometheus_*.deb "$work/files"
        mkdir -p "$cache"
        mv "$work/files/usr/bin/promtool" "$promtool"
    fi
fi

"$promtool" check rules --lint=all "$root/deploy/alerts.yaml"
"$promtool" test rules "$root/deploy/tests/alerts.yaml"

# The dashboard's queries, as a file of rules: text of JSON is text of YAML.
queries=$(mktemp --suffix=.yaml)
trap 'rm -rf "$queries" "${work:-}"' EXIT
{
    printf 'groups:\n  - name: dashboard\n    rules:\n'
    # shellcheck disable=SC2016
    grep -o '"expr": ".*"' "$chart/dashboard.json" | sed -e 's/\$__rate_interval/5m/g' |
        awk '{ printf "      - record: dashboard:query_%d\n        %s\n", NR, $0 }'
} >"$queries"
"$promtool" check rules "$queries"

# A histogram is named without its suffix in the table.
while IFS= read -r metric; do
    grep -q "^| \`$metric\`" "$operations" || fail "$metric is not in the table of metrics in docs/operations.md"
done < <(cat "$chart"/* | grep -o 'postgres_controller_[a-z_]*' | sed -e 's/_bucket$//' -e 's/_count$//' | sort -u)
while IFS= read -r alert; do
    grep -q "^#.* $alert\$" "$operations" || fail "$alert has no section in docs/operations.md"
done < <(sed -n 's/.*- alert: //p' "$chart/alerts.yaml")
