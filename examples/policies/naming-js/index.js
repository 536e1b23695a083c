// The example policy of naming-rust in JavaScript: user names must follow the house's rules. The same settings, the same
// findings.
import { definePolicy, finding, users } from './policy/index.js';

const settingsSchema = {
    type: 'object',
    additionalProperties: false,
    properties: {
        prefixes: {
            description: 'A name must begin with one of these; empty: with anything.',
            type: 'array', items: { type: 'string' }, default: [],
        },
        'allowed-characters': {
            description: 'The characters that a name may be made of; empty: any.',
            type: 'string', default: '',
        },
        exceptions: {
            description: 'Names that the rules do not apply to.',
            type: 'array', items: { type: 'string' }, default: [],
        },
    },
};

export default definePolicy({
    name: 'naming',
    version: '0.1.0',
    summary: "Refuses user names that do not follow the house's naming rules.",
    settingsSchema,

    checkSettings({ prefixes }) {
        const findings = [];
        prefixes.forEach((prefix, index) => {
            if (prefix === '') {
                findings.push(finding.error('empty-prefix', `/prefixes/${index}`, 'every name begins with an empty prefix',
                    'write a prefix, or leave `prefixes` out'));
            }
        });
        return findings;
    },

    validate({ settings: { prefixes, exceptions, 'allowed-characters': allowed }, spec }) {
        const findings = [];
        const allowedCharacters = new Set(allowed);
        for (const { name, path } of users(spec)) {
            if (exceptions.includes(name)) continue;
            if (prefixes.length > 0 && !prefixes.some((prefix) => name.startsWith(prefix))) {
                findings.push(finding.error('name-prefix', path, `"${name}" begins with no allowed prefix`,
                    `begin the name with one of: ${prefixes.join(', ')}`));
            }
            // A string is walked by characters, not by the halves that JavaScript stores them in.
            const other = [...name].find((character) => allowed !== '' && !allowedCharacters.has(character));
            if (other !== undefined) {
                findings.push(finding.error('name-characters', path, `"${name}" contains '${other}'`,
                    `use only these characters: ${allowed}`));
            }
        }
        return findings;
    },
});
