//go:build !wasm

package policy

import (
	"os"
	"strings"
)

// announce is for the build: it runs the policy outside of a component to learn which stages the world must have, so
// that an author writes a stage in one place, and cannot forget it in another. They go to a file: what is printed may be
// the author's.
func announce(stages []string) {
	file := os.Getenv("ROLEWRIGHT_STAGES")
	if file == "" {
		return
	}
	if err := os.WriteFile(file, []byte(strings.Join(stages, " ")), 0o600); err != nil {
		panic(err)
	}
	os.Exit(0)
}
