//go:build !wasm

package policy

import (
	"fmt"
	"os"
	"strings"
)

// announce is for the build: it runs the policy outside of a component to learn which stages the world must have, so
// that an author writes a stage in one place, and cannot forget it in another.
func announce(stages []string) {
	if os.Getenv("ROLEWRIGHT_STAGES") != "" {
		fmt.Println(strings.Join(stages, " "))
		os.Exit(0)
	}
}
