package policy

import (
	"errors"
	"strings"
	"testing"

	"rolewright/policy/internal/stages"
)

type limits struct {
	Most int `json:"most"`
}

func export(p Policy[limits]) {
	p.Name, p.Version, p.Summary = "limited", "0.1.0", "So many users and no more."
	Export(p)
}

func user(name string) Role {
	return Role{Name: name, Attributes: AttributesLogin | AttributesInherit, Path: "/users/" + name}
}

func TestAPolicyIntroducesItself(t *testing.T) {
	export(Policy[limits]{ClockStepSeconds: 60})
	info := stages.Describe()
	if info.Name != "limited" || info.ClockStepSeconds.SomeOr(0) != 60 || info.SettingsSchema.IsSome() {
		t.Errorf("got %v", info)
	}
}

func TestSettingsThatCannotBeReadAreAFindingAndAnErrorInAStage(t *testing.T) {
	export(Policy[limits]{Validate: func(Context, limits, Spec) ([]Finding, error) { return nil, nil }})
	for _, text := range []string{`{"most": "two"}`, `{"mots": 1}`, `{`, `{} {}`} {
		findings := stages.ValidateSettings(text)
		if len(findings) != 1 || findings[0].Code != "invalid-settings" {
			t.Errorf("%s: got %v", text, findings)
		}
		if result := stages.Validate(Context{}, text, Spec{}); !strings.Contains(result.Err(), "cannot be read") {
			t.Errorf("%s: got %v", text, result)
		}
	}
	for _, text := range []string{"null", "", `{"most": 1}`} {
		if findings := stages.ValidateSettings(text); len(findings) != 0 {
			t.Errorf("%q: got %v", text, findings)
		}
	}
}

func TestAnErrorAndAPanicAreWhyThereIsNoAnswer(t *testing.T) {
	export(Policy[limits]{
		Validate: func(Context, limits, Spec) ([]Finding, error) { return nil, errors.New("the list is not there") },
		Review: func(_ Context, _ limits, _ Catalog, steps []Step) (Reviewed, error) {
			return Deny(Error(steps[1].Path, "", "")), nil
		},
	})
	if said := stages.Validate(Context{}, "null", Spec{}).Err(); said != "the list is not there" {
		t.Error(said)
	}
	if said := stages.Review(Context{}, "null", Catalog{}, nil).Err(); !strings.HasPrefix(said, "panic: ") {
		t.Error(said)
	}
	if said := stages.Plan(Context{}, "null", Spec{}, Catalog{}).Err(); said != "this policy does not plan" {
		t.Error(said)
	}
}

func TestAStageGetsItsSettings(t *testing.T) {
	export(Policy[limits]{Validate: func(_ Context, settings limits, spec Spec) ([]Finding, error) {
		var findings []Finding
		for _, user := range Users(spec)[settings.Most:] {
			findings = append(findings, WithHelp(Warning("crowded", user.Path, "one user too many"), "remove it"))
		}
		return findings, nil
	}})
	found := stages.Validate(Context{}, `{"most": 1}`, Spec{Roles: []Role{user("a"), {Name: "a_group"}, user("b")}}).Ok()
	if len(found) != 1 || found[0].Path != "/users/b" || found[0].Help.SomeOr("") != "remove it" {
		t.Errorf("got %v", found)
	}
}

func TestAStepHasTheRiskOfItsChange(t *testing.T) {
	patch := func(change RolePatch) Change { return MakeChangeAlterRole(change) }
	for _, test := range []struct {
		change Change
		want   Risk
	}{
		{MakeChangeCreateRole(user("a")), RiskSafe},
		{MakeChangeDropRole(Removal{Name: "a"}), RiskDestructive},
		{MakeChangeRevokeRole(Edge{}), RiskDisruptive},
		{patch(RolePatch{Clear: AttributesLogin}), RiskDisruptive},
		{patch(RolePatch{Clear: AttributesInherit}), RiskSafe},
		{patch(RolePatch{ValidUntil: Some(MakeExpiryAt(1))}), RiskDisruptive},
		{patch(RolePatch{ConnectionLimit: Some(MakeLimitUnlimited())}), RiskSafe},
	} {
		if got := NewStep(test.change, "why", "").Risk; got != test.want {
			t.Errorf("%v: got %v, want %v", test.change, got, test.want)
		}
	}
}

func TestStagesAreThoseThatAreWritten(t *testing.T) {
	p := Policy[NoSettings]{
		Validate: func(Context, NoSettings, Spec) ([]Finding, error) { return nil, nil },
		Review:   func(Context, NoSettings, Catalog, []Step) (Reviewed, error) { return Allow(), nil },
	}
	if got := strings.Join(p.stages(), " "); got != "validate review" {
		t.Errorf("the stages are %q", got)
	}
}
