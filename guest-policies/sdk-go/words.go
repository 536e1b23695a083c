package policy

// Builders for what a policy answers, and short questions to what it is asked about. They add no meaning.

// Error is a finding that blocks the plan. The path is a JSON pointer into users.yaml: mostly a role's own.
func Error(code, path, message string) Finding { return say(SeverityError, code, path, message) }

// Warning is a finding that is shown, and blocks nothing.
func Warning(code, path, message string) Finding { return say(SeverityWarning, code, path, message) }

// Info is a finding that is shown, and needs no action.
func Info(code, path, message string) Finding { return say(SeverityInfo, code, path, message) }

func say(severity Severity, code, path, message string) Finding {
	return Finding{Code: code, Severity: severity, Path: path, Message: message, Help: None[string]()}
}

// WithHelp adds what to do about a finding.
func WithHelp(finding Finding, help string) Finding {
	finding.Help = Some(help)
	return finding
}

// Allow: the plan may run.
func Allow() Reviewed { return Reviewed{Verdict: VerdictAllow} }

// Hold: the plan waits until somebody approves it.
func Hold(findings ...Finding) Reviewed { return Reviewed{Verdict: VerdictHold, Findings: findings} }

// Deny: the plan must not run.
func Deny(findings ...Finding) Reviewed { return Reviewed{Verdict: VerdictDeny, Findings: findings} }

// IsUser tells whether a role may log in; the others are group roles.
func IsUser(role Role) bool { return role.Attributes&AttributesLogin != 0 }

// Users are the declared roles that may log in.
func Users(spec Spec) []Role {
	var users []Role
	for _, role := range spec.Roles {
		if IsUser(role) {
			users = append(users, role)
		}
	}
	return users
}

// LabelOf gives the value of a label.
func LabelOf(labels []Label, key string) (string, bool) {
	for _, label := range labels {
		if label.Key == key {
			return label.Value, true
		}
	}
	return "", false
}

// NewStep is a step of a plan, with the risk that its change has. The host judges by the same rules and takes the higher
// of the two.
func NewStep(change Change, reason, path string) Step {
	return Step{Change: change, Risk: riskOf(change), Reason: reason, Path: path}
}

func riskOf(change Change) Risk {
	switch change.Tag() {
	case ChangeCreateRole, ChangeGrantRole, ChangeGrantPrivilege, ChangeSetSetting, ChangeCreateDatabase:
		return RiskSafe
	case ChangeDropRole, ChangeRunScript:
		return RiskDestructive
	case ChangeAlterRole:
		patch := change.AlterRole()
		limited := patch.ConnectionLimit.IsSome() && patch.ConnectionLimit.Some().Tag() == LimitAtMost
		ends := patch.ValidUntil.IsSome() && patch.ValidUntil.Some().Tag() == ExpiryAt
		if patch.Clear&^AttributesInherit == 0 && !limited && !ends {
			return RiskSafe
		}
	}
	return RiskDisruptive
}
