#!/bin/sh
# Writes the world that a policy is built for: the contract, and the stages that the policy has, no more and no fewer.
# `sh world.sh WIT OUT` runs in the directory of the policy; WIT is the directory of the contract, OUT becomes its copy.
set -eu
told=$(mktemp)
trap 'rm -f "$told"' EXIT
# For this machine, whatever else the environment asks for.
GOOS='' GOARCH='' ROLEWRIGHT_STAGES=$told go run .
stages=$(cat "$told")
[ -n "$stages" ] || {
    echo "main.go takes part in no stage: give policy.Export at least one of Validate, Transform, Plan, Review" >&2
    exit 1
}
rm -rf "$2"
mkdir -p "$(dirname "$2")"
cp -r "$1" "$2"
{
    echo "// Written from main.go by each build."
    echo "world policy {"
    for stage in $stages; do
        case $stage in
        validate) echo "    include validator;" ;;
        transform) echo "    include transformer;" ;;
        plan) echo "    include planner;" ;;
        review) echo "    include reviewer;" ;;
        esac
    done
    echo "}"
} >"$2/policy.wit"
echo "main.go takes part in: $stages"
