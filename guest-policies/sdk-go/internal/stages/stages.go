// Package stages stands between the generated exports and the policy: the exports call what is set here. In a component
// that exports only some of the stages, the functions of the others are never called.
package stages

import (
	changes "rolewright/policy/internal/bindings/imports/rolewright_policy_changes"
	describe "rolewright/policy/internal/bindings/imports/rolewright_policy_describe"
	review "rolewright/policy/internal/bindings/imports/rolewright_policy_review"
	transform "rolewright/policy/internal/bindings/imports/rolewright_policy_transform"
	types "rolewright/policy/internal/bindings/imports/rolewright_policy_types"
	wit "rolewright/policy/internal/wit/types"
)

// What the host calls. Export, in the package policy, sets all of them.
var (
	Describe         func() describe.Info
	ValidateSettings func(settings string) []types.Finding
	Validate         func(context types.Context, settings string, spec types.Spec) wit.Result[[]types.Finding, string]
	Transform        func(context types.Context, settings string, spec types.Spec) wit.Result[transform.Outcome, string]
	Plan             func(context types.Context, settings string, desired types.Spec, actual types.Catalog) wit.Result[[]changes.Step, string]
	Review           func(context types.Context, settings string, actual types.Catalog, steps []changes.Step) wit.Result[review.Outcome, string]
)
