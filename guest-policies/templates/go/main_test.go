package main

import (
	"slices"
	"testing"

	"rolewright/policy"
)

func refused(prefixes []string, names ...string) []string {
	var spec policy.Spec
	for _, name := range names {
		spec.Roles = append(spec.Roles, policy.Role{Name: name, Attributes: policy.AttributesLogin, Path: "/users/" + name})
	}
	findings, _ := validate(policy.Context{}, Settings{Prefixes: prefixes}, spec)
	var paths []string
	for _, finding := range findings {
		paths = append(paths, finding.Path)
	}
	return paths
}

func TestANameNeedsOneOfThePrefixes(t *testing.T) {
	if got := refused([]string{"app_", "team_"}, "app_shop", "alice"); !slices.Equal(got, []string{"/users/alice"}) {
		t.Errorf("refused %v", got)
	}
}

func TestWithoutPrefixesEveryNameIsFine(t *testing.T) {
	if got := refused(nil, "alice"); len(got) != 0 {
		t.Errorf("refused %v", got)
	}
}
