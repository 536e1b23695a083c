package main

import (
	"slices"
	"testing"

	"rolewright/policy"
)

func codes(settings Settings, names ...string) []string {
	var spec policy.Spec
	for _, name := range names {
		login := policy.AttributesLogin | policy.AttributesInherit
		spec.Roles = append(spec.Roles, policy.Role{Name: name, Attributes: login, Path: "/users/" + name})
	}
	spec.Roles = append(spec.Roles, policy.Role{Name: "a_group", Attributes: policy.AttributesInherit})
	findings, err := validate(policy.Context{}, settings, spec)
	if err != nil {
		return []string{err.Error()}
	}
	found := []string{}
	for _, finding := range findings {
		found = append(found, finding.Code+" at "+finding.Path)
	}
	return found
}

func TestNames(t *testing.T) {
	for what, test := range map[string]struct {
		settings Settings
		names    []string
		want     []string
	}{
		"a name needs one of the prefixes": {
			Settings{Prefixes: []string{"app_", "team_"}}, []string{"app_shop", "team_a", "alice"},
			[]string{"name-prefix at /users/alice"},
		},
		"a name is made of the allowed characters": {
			Settings{AllowedCharacters: "abcdefghijklmnopqrstuvwxyz_"}, []string{"app_shop", "Alice"},
			[]string{"name-characters at /users/Alice"},
		},
		"exceptions may have any name": {
			Settings{Prefixes: []string{"app_"}, Exceptions: []string{"alice"}}, []string{"alice"}, []string{},
		},
		"without settings every name is fine": {Settings{}, []string{"Alice", "名前"}, []string{}},
	} {
		if got := codes(test.settings, test.names...); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", what, got, test.want)
		}
	}
}

func TestAnEmptyPrefixIsRefusedWithItsPlaceInTheSettings(t *testing.T) {
	findings := checkSettings(Settings{Prefixes: []string{"a", ""}})
	if len(findings) != 1 || findings[0].Path != "/prefixes/1" {
		t.Errorf("got %v", findings)
	}
}
