package log

import host "rolewright/policy/internal/bindings/imports/rolewright_policy_log"

func emit(level uint8, message string) { host.Emit(level, message) }
