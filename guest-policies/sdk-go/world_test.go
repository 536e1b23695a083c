package policy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// prepared gives the world of a policy with this code, and what was said.
func prepared(t *testing.T, code string) (world, said string) {
	t.Helper()
	sdk, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	project := t.TempDir()
	module := "module limited\n\ngo 1.24\n\nrequire rolewright/policy v0.1.0\n\nreplace rolewright/policy => " + sdk + "\n"
	for file, text := range map[string]string{"go.mod": module, "main.go": code} {
		if err := os.WriteFile(filepath.Join(project, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("sh", filepath.Join(sdk, "world.sh"), filepath.Join(sdk, "../../wit"), "build/wit")
	command.Dir = project
	output, _ := command.CombinedOutput()
	written, _ := os.ReadFile(filepath.Join(project, "build/wit/policy.wit"))
	return string(written), string(output)
}

const head = `package main

import (
	"fmt"

	"rolewright/policy"
)

func main() {}

func init() {
	fmt.Println("I plan to begin")
`

func TestTheWorldHasTheStagesOfTheCodeWhateverItPrints(t *testing.T) {
	world, said := prepared(t, head+`	policy.Export(policy.Policy[policy.NoSettings]{
		Review: func(policy.Context, policy.NoSettings, policy.Catalog, []policy.Step) (policy.Reviewed, error) {
			return policy.Allow(), nil
		},
	})
}
`)
	if strings.Count(world, "include") != 1 || !strings.Contains(world, "include reviewer;") {
		t.Errorf("the world is %q; %s", world, said)
	}
}

func TestAPolicyWithoutAStageIsToldSo(t *testing.T) {
	world, said := prepared(t, head+"	_ = policy.Error\n}\n")
	if world != "" || !strings.Contains(said, "main.go takes part in no stage") {
		t.Errorf("the world is %q; %s", world, said)
	}
}
