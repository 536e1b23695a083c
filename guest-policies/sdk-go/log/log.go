// Package log writes lines for the operator. The host adds the policy's name, cuts a line at 1,024 bytes, and stops
// listening after 100 lines a call. In tests outside of a component the lines go to standard error.
package log

// Debug is for somebody who looks for a fault in the policy.
func Debug(message string) { emit(0, message) }

// Info is good to know.
func Info(message string) { emit(1, message) }

// Warn is worth a look.
func Warn(message string) { emit(2, message) }

// Error says that something went wrong. It blocks nothing: a finding or an error does.
func Error(message string) { emit(3, message) }
