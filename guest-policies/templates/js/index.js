// The policy {{name}}: user names must begin with one of the allowed prefixes.
// @ts-check
import { definePolicy, finding, users } from './policy/index.js';

/** @typedef {{ prefixes: string[] }} Settings What stands under `settings:` in the chain. */

const settingsSchema = {
    type: 'object',
    additionalProperties: false,
    properties: {
        prefixes: {
            description: 'A name must begin with one of these; empty: with anything.',
            type: 'array', items: { type: 'string' }, default: [],
        },
    },
};

/** @type {import('./policy/index.js').Policy<Settings>} */
const policy = {
    name: '{{name}}',
    version: '0.1.0',
    summary: 'Refuses users whose name begins with no allowed prefix.',
    settingsSchema,

    validate({ settings: { prefixes }, spec }) {
        const fits = (/** @type {string} */ name) =>
            prefixes.length === 0 || prefixes.some((prefix) => name.startsWith(prefix));
        return users(spec).filter(({ name }) => !fits(name)).map(({ name, path }) =>
            finding.error('name-prefix', path, `"${name}" begins with no allowed prefix`,
                `begin the name with one of: ${prefixes.join(', ')}`));
    },
};

export default definePolicy(policy);
