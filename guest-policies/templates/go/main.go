// The policy {{name}}: user names must begin with one of the allowed prefixes.
package main

import (
	"fmt"
	"slices"
	"strings"

	"rolewright/policy"
)

// Settings are what stands under settings: in the chain.
type Settings struct {
	// A name must begin with one of these; empty: with anything.
	Prefixes []string `json:"prefixes"`
}

const settingsSchema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "prefixes": {
      "description": "A name must begin with one of these; empty: with anything.",
      "type": "array",
      "items": {"type": "string"},
      "default": []
    }
  }
}`

func init() {
	policy.Export(policy.Policy[Settings]{
		Name:           "{{name}}",
		Version:        "0.1.0",
		Summary:        "Refuses users whose name begins with no allowed prefix.",
		SettingsSchema: settingsSchema,
		Validate:       validate,
	})
}

func validate(_ policy.Context, settings Settings, spec policy.Spec) ([]policy.Finding, error) {
	var findings []policy.Finding
	for _, user := range policy.Users(spec) {
		begins := func(prefix string) bool { return strings.HasPrefix(user.Name, prefix) }
		if len(settings.Prefixes) == 0 || slices.ContainsFunc(settings.Prefixes, begins) {
			continue
		}
		finding := policy.Error("name-prefix", user.Path, fmt.Sprintf("\"%s\" begins with no allowed prefix", user.Name))
		help := "begin the name with one of: " + strings.Join(settings.Prefixes, ", ")
		findings = append(findings, policy.WithHelp(finding, help))
	}
	return findings, nil
}

func main() {} // Never called: a component has no main.
