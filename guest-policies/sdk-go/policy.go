// Package policy lets you write policies for Rolewright in Go: a value with a function for each stage, exported by one
// call. The types of the contract are in contract.go.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	describe "rolewright/policy/internal/bindings/imports/rolewright_policy_describe"
	review "rolewright/policy/internal/bindings/imports/rolewright_policy_review"
	transform "rolewright/policy/internal/bindings/imports/rolewright_policy_transform"
	"rolewright/policy/internal/stages"
	wit "rolewright/policy/internal/wit/types"
)

// Option is a value that may be absent: see Some and None, and its methods IsSome, Some and SomeOr.
type Option[T any] = wit.Option[T]

// Some is a value that is there.
func Some[T any](value T) Option[T] { return wit.Some(value) }

// None is an absent value.
func None[T any]() Option[T] { return wit.None[T]() }

// Transformed is what a transform gives: the new spec, or None where it stays as it was, and what there is to say about it.
type Transformed = transform.Outcome

// Reviewed is what a reviewer gives: see Allow, Hold and Deny.
type Reviewed = review.Outcome

// NoSettings is for a policy with nothing to set.
type NoSettings struct{}

// Policy is a policy with settings of the type S, which is read from JSON; unknown names are refused. Of the four stages
// it has those that it takes part in, and what is built has the same. An error, or a panic,
// means that the policy could not do its work, and blocks the plan; its message is shown.
type Policy[S any] struct {
	// Name is in kebab-case, such as naming.
	Name string
	// Version is a semantic version.
	Version string
	// Summary is one sentence.
	Summary string
	// SettingsSchema is a JSON Schema for the settings, for people and tools; empty: none.
	SettingsSchema string
	// ClockStepSeconds asks for the time of day in Context.Now, rounded down to this many seconds; 0: no clock.
	ClockStepSeconds uint32
	// CheckSettings says what is wrong with settings that could be read. Paths of findings point into the settings.
	CheckSettings func(settings S) []Finding
	// Validate: any finding that is an error blocks the plan.
	Validate func(context Context, settings S, spec Spec) ([]Finding, error)
	// Transform gives the new spec. A second call on its own result must change nothing.
	Transform func(context Context, settings S, spec Spec) (Transformed, error)
	// Plan gives the steps that lead from actual to desired. Their order does not matter.
	Plan func(context Context, settings S, desired Spec, actual Catalog) ([]Step, error)
	// Review says whether this plan may run.
	Review func(context Context, settings S, actual Catalog, steps []Step) (Reviewed, error)
}

// Export makes the policy what the host calls. Call it from an init function; main stays empty.
func Export[S any](p Policy[S]) {
	announce(p.stages())
	stages.Describe = func() describe.Info {
		info := describe.Info{Name: p.Name, Version: p.Version, Summary: p.Summary}
		if p.SettingsSchema != "" {
			info.SettingsSchema = Some(p.SettingsSchema)
		}
		if p.ClockStepSeconds != 0 {
			info.ClockStepSeconds = Some(p.ClockStepSeconds)
		}
		return info
	}
	stages.ValidateSettings = func(text string) []Finding {
		settings, err := read[S](text)
		if err != nil {
			return []Finding{Error("invalid-settings", "", err.Error())}
		}
		if p.CheckSettings == nil {
			return nil
		}
		return p.CheckSettings(settings)
	}
	stages.Validate = func(context Context, text string, spec Spec) wit.Result[[]Finding, string] {
		return answer("validate", text, p.Validate != nil, func(s S) ([]Finding, error) { return p.Validate(context, s, spec) })
	}
	stages.Transform = func(context Context, text string, spec Spec) wit.Result[Transformed, string] {
		return answer("transform", text, p.Transform != nil, func(s S) (Transformed, error) { return p.Transform(context, s, spec) })
	}
	stages.Plan = func(context Context, text string, desired Spec, actual Catalog) wit.Result[[]Step, string] {
		return answer("plan", text, p.Plan != nil, func(s S) ([]Step, error) { return p.Plan(context, s, desired, actual) })
	}
	stages.Review = func(context Context, text string, actual Catalog, steps []Step) wit.Result[Reviewed, string] {
		return answer("review", text, p.Review != nil, func(s S) (Reviewed, error) { return p.Review(context, s, actual, steps) })
	}
}

// stages are the names of those that the policy takes part in.
func (p Policy[S]) stages() (names []string) {
	for _, stage := range []struct {
		name string
		has  bool
	}{
		{"validate", p.Validate != nil},
		{"transform", p.Transform != nil},
		{"plan", p.Plan != nil},
		{"review", p.Review != nil},
	} {
		if stage.has {
			names = append(names, stage.name)
		}
	}
	return names
}

// read gives the settings; null and nothing at all are the zero value.
func read[S any](text string) (settings S, err error) {
	if strings.TrimSpace(text) == "" {
		return settings, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		return settings, fmt.Errorf("the settings of this policy cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return settings, errors.New("the settings of this policy cannot be read: there is more than one document")
	}
	return settings, nil
}

// answer runs a stage; whatever goes wrong is the err of the contract.
func answer[S, T any](stage, text string, written bool, work func(S) (T, error)) (result wit.Result[T, string]) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = wit.Err[T, string](fmt.Sprintf("panic: %v", panicked))
		}
	}()
	if !written {
		return wit.Err[T, string]("this policy does not " + stage)
	}
	settings, err := read[S](text)
	if err != nil {
		return wit.Err[T, string](err.Error())
	}
	value, err := work(settings)
	if err != nil {
		return wit.Err[T, string](err.Error())
	}
	return wit.Ok[T, string](value)
}
