// The example policy of naming-rust in Go: user names must follow the house's rules. The same settings, the same
// findings.
package main

import (
	"fmt"
	"slices"
	"strings"

	"rolewright/policy"
)

// Settings are the rules, as they stand under settings: in the chain. Without settings every name is fine.
type Settings struct {
	// A name must begin with one of these; empty: with anything.
	Prefixes []string `json:"prefixes"`
	// The characters that a name may be made of; empty: any.
	AllowedCharacters string `json:"allowed-characters"`
	// Names that the rules do not apply to.
	Exceptions []string `json:"exceptions"`
}

const settingsSchema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "prefixes": {"type": "array", "items": {"type": "string"}},
    "allowed-characters": {"type": "string"},
    "exceptions": {"type": "array", "items": {"type": "string"}}
  }
}`

func init() {
	policy.Export(policy.Policy[Settings]{
		Name:           "naming",
		Version:        "0.1.0",
		Summary:        "Refuses user names that do not follow the house's naming rules.",
		SettingsSchema: settingsSchema,
		CheckSettings:  checkSettings,
		Validate:       validate,
	})
}

func checkSettings(settings Settings) []policy.Finding {
	var findings []policy.Finding
	for index, prefix := range settings.Prefixes {
		if prefix == "" {
			finding := policy.Error("empty-prefix", fmt.Sprintf("/prefixes/%d", index), "every name begins with an empty prefix")
			findings = append(findings, policy.WithHelp(finding, "write a prefix, or leave `prefixes` out"))
		}
	}
	return findings
}

func validate(_ policy.Context, settings Settings, spec policy.Spec) ([]policy.Finding, error) {
	var findings []policy.Finding
	for _, user := range policy.Users(spec) {
		if slices.Contains(settings.Exceptions, user.Name) {
			continue
		}
		begins := func(prefix string) bool { return strings.HasPrefix(user.Name, prefix) }
		if len(settings.Prefixes) > 0 && !slices.ContainsFunc(settings.Prefixes, begins) {
			finding := policy.Error("name-prefix", user.Path, fmt.Sprintf("\"%s\" begins with no allowed prefix", user.Name))
			help := "begin the name with one of: " + strings.Join(settings.Prefixes, ", ")
			findings = append(findings, policy.WithHelp(finding, help))
		}
		for _, character := range user.Name {
			if settings.AllowedCharacters != "" && !strings.ContainsRune(settings.AllowedCharacters, character) {
				finding := policy.Error("name-characters", user.Path, fmt.Sprintf("\"%s\" contains '%c'", user.Name, character))
				findings = append(findings, policy.WithHelp(finding, "use only these characters: "+settings.AllowedCharacters))
				break
			}
		}
	}
	return findings, nil
}

func main() {} // Never called: a component has no main.
