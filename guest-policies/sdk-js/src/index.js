// From a policy as its author writes it to the exports that the host calls, and the builders that go with it. It knows
// the canonical ABI's habits so that authors need not; what the types are is in contract.d.ts.
import { checking } from './check.js';
import { parseSettings } from './settings.js';
import { unsigned, unsignedSteps } from './unsigned.js';
import './world.js';

/** Builders for findings. `path` is a JSON pointer into users.yaml: mostly a role's own, sometimes with more behind it. */
export const finding = {
    /** Blocks the plan. */
    error: (code, path, message, help = null) => ({ code, severity: 'error', path, message, help }),
    /** Is shown, and blocks nothing. */
    warning: (code, path, message, help = null) => ({ code, severity: 'warning', path, message, help }),
    /** Is shown, and needs no action. */
    info: (code, path, message, help = null) => ({ code, severity: 'info', path, message, help }),
};

/** Builders for what a reviewer answers. */
export const verdict = {
    /** The plan may run. */
    allow: (findings = []) => ({ verdict: 'allow', findings }),
    /** It waits until somebody approves it. */
    hold: (findings) => ({ verdict: 'hold', findings }),
    /** It must not run. */
    deny: (findings) => ({ verdict: 'deny', findings }),
};

/** A role that may log in is a user; the others are group roles. */
export const isUser = (role) => role.attributes.login === true;

/** The declared roles that may log in. */
export const users = (spec) => spec.roles.filter(isUser);

/** The value of a label of a role, a database or the context; `undefined` where there is none. */
export const label = (labelled, key) => labelled.labels.find((candidate) => candidate.key === key)?.value;

const RISKS = {
    'create-role': 'safe', 'grant-role': 'safe', 'grant-privilege': 'safe', 'set-setting': 'safe', 'create-database': 'safe',
    'drop-role': 'destructive', 'run-script': 'destructive',
};

/** How bad a change is if it turns out to be a mistake: the host judges by the same rules and takes the higher of two. */
function riskOf({ tag, val }) {
    if (tag !== 'alter-role') return RISKS[tag] ?? 'disruptive';
    const takesAway = Object.entries(val.clear).some(([attribute, cleared]) => cleared && attribute !== 'inherit')
        || val.connectionLimit?.tag === 'at-most' || val.validUntil?.tag === 'at';
    return takesAway ? 'disruptive' : 'safe';
}

/** A step of a plan, with the risk that its change has. */
export const step = (change, reason, path = '') => ({ change, risk: riskOf(change), reason, path });

const checks = {
    info: checking('Info'),
    findings: checking({ list: 'Finding' }),
    steps: checking({ list: 'Step' }),
    transformed: checking('Transformed'),
    reviewed: checking('Reviewed'),
};

/** Any exception becomes the `err` of the contract: the policy could not do its work, and the plan is blocked. */
function stage(name, check, work) {
    try {
        const answer = work();
        check(answer, name);
        return answer;
    } catch (error) {
        // QuickJS makes the `err` of what is thrown; a string arrives as it is.
        throw error instanceof Error ? `${error.message}` : `${error}`;
    }
}

const STAGES = ['validate', 'transform', 'plan', 'review'];
const PARTS = ['name', 'version', 'summary', 'settingsSchema', 'clockStepSeconds', 'checkSettings', ...STAGES];

/** Gives what the host calls. A policy is the default export of its module: `export default definePolicy({ … })`. */
export function definePolicy(policy) {
    // A stage with a misspelt name would never be asked.
    const stranger = Object.keys(policy).find((key) => !PARTS.includes(key));
    if (stranger !== undefined) throw new Error(`definePolicy does not know "${stranger}"; there are ${PARTS.join(', ')}`);
    for (const key of ['checkSettings', ...STAGES]) {
        if (policy[key] !== undefined && typeof policy[key] !== 'function') throw new Error(`definePolicy.${key} must be a function`);
    }
    const { name, version, summary, settingsSchema = null, clockStepSeconds = null } = policy;
    const introduction = {
        name,
        version,
        summary,
        settingsSchema: settingsSchema === null ? null : JSON.stringify(settingsSchema),
        clockStepSeconds,
    };
    checks.info(introduction, 'definePolicy');

    const settingsOf = (text) => {
        const { settings, findings } = parseSettings(text, settingsSchema);
        if (findings.length > 0) throw new Error(findings[0].message);
        return settings;
    };
    const exported = {
        describe: { describe: () => introduction },
        configure: {
            validateSettings(text) {
                const { settings, findings } = parseSettings(text, settingsSchema);
                if (findings.length > 0) return findings;
                // There is no `err` here: what goes wrong is a finding like any other.
                try {
                    const found = policy.checkSettings?.(settings) ?? [];
                    checks.findings(found, 'checkSettings');
                    return found;
                } catch (error) {
                    return [finding.error('settings-not-checked', '', `the settings could not be checked: ${error.message ?? error}`)];
                }
            },
        },
    };
    if (policy.validate) {
        exported.validate = {
            validate: (context, settings, spec) => stage('validate', checks.findings,
                () => policy.validate({ context, settings: settingsOf(settings), spec: unsigned(spec) }) ?? []),
        };
    }
    if (policy.transform) {
        exported.transform = {
            transform: (context, settings, spec) => stage('transform', checks.transformed, () => {
                const answer = policy.transform({ context, settings: settingsOf(settings), spec: unsigned(spec) });
                return answer?.roles === undefined ? answer : { spec: answer, findings: [] };
            }),
        };
    }
    if (policy.plan) {
        exported.plan = {
            plan: (context, settings, desired, actual) => stage('plan', checks.steps,
                () => policy.plan({ context, settings: settingsOf(settings), desired: unsigned(desired), actual: unsigned(actual) })),
        };
    }
    if (policy.review) {
        exported.review = {
            review: (context, settings, actual, steps) => stage('review', checks.reviewed,
                () => policy.review({ context, settings: settingsOf(settings), actual: unsigned(actual), steps: unsignedSteps(steps) })),
        };
    }
    return exported;
}
