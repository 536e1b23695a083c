// What an author writes and gets. The types of the contract are in contract.d.ts.
import type {
    Catalog, Change, Context, Database, Finding, Info, Reviewed, Role, Spec, Step, Transformed,
} from './contract.js';

export * from './contract.js';

/** The first stage, and again after the transforms: is this spec acceptable? */
export interface Validating<Settings> {
    context: Context;
    settings: Settings;
    spec: Spec;
}

/** The third stage: `actual` as it is, `desired` as it must become, complete. */
export interface Planning<Settings> {
    context: Context;
    settings: Settings;
    desired: Spec;
    actual: Catalog;
}

/** The last stage: the ordered plan with the host's risks. */
export interface Reviewing<Settings> {
    context: Context;
    settings: Settings;
    actual: Catalog;
    steps: Step[];
}

/**
 * A policy. Of the four stages it has those that it takes part in; what is built has the same. An exception in a stage
 * means that the policy could not do its work, and blocks the plan; its message is shown.
 */
export interface Policy<Settings> {
    /** Kebab-case, such as `naming`. */
    name: string;
    /** Semantic version. */
    version: string;
    /** One sentence. */
    summary: string;
    /**
     * A JSON Schema for the settings. They are checked against it before any of the functions below is called, and what
     * the schema gives as `default` is filled in. Without one there is nothing to set.
     */
    settingsSchema?: object;
    /** Ask for the time of day in `context.now`, rounded down to this many seconds. */
    clockStepSeconds?: number;
    /** What the schema cannot say. The `path` of a finding points into the settings. */
    checkSettings?(settings: Settings): Finding[];
    /** Any finding that is an error blocks the plan. */
    validate?(input: Validating<Settings>): Finding[];
    /**
     * The new spec, alone or with findings; `{ findings: [] }` without one where nothing is to be changed. The one handed
     * over may be changed. A second call must change nothing.
     */
    transform?(input: Validating<Settings>): Spec | Transformed;
    /** Replayed over `actual`, the steps must give `desired`. Their order does not matter. */
    plan?(input: Planning<Settings>): Step[];
    /** May this plan run? */
    review?(input: Reviewing<Settings>): Reviewed;
}

/** What the host calls. */
export interface Exports {
    describe: { describe(): Info };
    configure: { validateSettings(settings: string): Finding[] };
    validate: { validate(context: Context, settings: string, spec: Spec): Finding[] };
    transform: { transform(context: Context, settings: string, spec: Spec): Transformed };
    plan: { plan(context: Context, settings: string, desired: Spec, actual: Catalog): Step[] };
    review: { review(context: Context, settings: string, actual: Catalog, steps: Step[]): Reviewed };
}

/** Gives what the host calls. A policy is the default export of its module: `export default definePolicy({ … })`. */
export function definePolicy<Settings = Record<string, never>>(policy: Policy<Settings>): Exports;

type Build = (code: string, path: string, message: string, help?: string | null) => Finding;
/** Builders for findings: `finding.error(code, path, message, help)` blocks the plan; the others are shown. */
export const finding: { error: Build; warning: Build; info: Build };

/** Builders for what a reviewer answers. `hold` waits for an approval. */
export const verdict: {
    allow(findings?: Finding[]): Reviewed;
    hold(findings: Finding[]): Reviewed;
    deny(findings: Finding[]): Reviewed;
};

/** A role that may log in is a user; the others are group roles. */
export function isUser(role: Role): boolean;
/** The declared roles that may log in. */
export function users(spec: Spec): Role[];
/** The value of a label; `undefined` where there is none. */
export function label(labelled: Role | Database | Context, key: string): string | undefined;
/** A step of a plan, with the risk that its change has. */
export function step(change: Change, reason: string, path?: string): Step;
