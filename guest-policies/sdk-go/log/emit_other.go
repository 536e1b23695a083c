//go:build !wasm

package log

import (
	"fmt"
	"os"
)

func emit(level uint8, message string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", [...]string{"debug", "info", "warn", "error"}[level], message)
}
