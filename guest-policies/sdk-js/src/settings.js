// Settings: from the JSON text that crosses the boundary to an object, checked against the policy's JSON Schema with its
// defaults filled in. Of JSON Schema it knows what settings need: type, properties, required, additionalProperties,
// items, enum, default, minimum, maximum, minLength, minItems and pattern. Other words are for people and editors.

const kinds = {
    object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    array: Array.isArray,
    string: (value) => typeof value === 'string',
    boolean: (value) => typeof value === 'boolean',
    number: (value) => typeof value === 'number',
    integer: Number.isInteger,
    null: (value) => value === null,
};

const escaped = (key) => key.replaceAll('~', '~0').replaceAll('/', '~1');

function walk(schema, value, path, say) {
    if (schema.enum && !schema.enum.some((choice) => JSON.stringify(choice) === JSON.stringify(value))) {
        say(path, `must be one of ${schema.enum.map((choice) => JSON.stringify(choice)).join(', ')}`);
    }
    const types = [schema.type ?? []].flat();
    if (types.length > 0 && !types.some((type) => kinds[type]?.(value))) {
        say(path, `must be of type ${types.join(' or ')}`);
        return;
    }
    if (value < schema.minimum) say(path, `must be at least ${schema.minimum}`);
    if (value > schema.maximum) say(path, `must be at most ${schema.maximum}`);
    if (kinds.string(value)) {
        if ([...value].length < schema.minLength) say(path, `must have at least ${schema.minLength} characters`);
        if (schema.pattern && !new RegExp(schema.pattern, 'u').test(value)) say(path, `must match ${schema.pattern}`);
    } else if (kinds.array(value)) {
        if (value.length < schema.minItems) say(path, `must have at least ${schema.minItems} entries`);
        if (schema.items) value.forEach((entry, index) => walk(schema.items, entry, `${path}/${index}`, say));
    } else if (kinds.object(value)) {
        const properties = schema.properties ?? {};
        for (const key of Object.keys(value)) {
            if (!Object.hasOwn(properties, key) && schema.additionalProperties === false) {
                say(`${path}/${escaped(key)}`, `is not known; there are ${Object.keys(properties).join(', ')}`);
            }
        }
        for (const key of schema.required ?? []) {
            if (!Object.hasOwn(value, key)) say(`${path}/${escaped(key)}`, 'is required');
        }
        for (const [key, of] of Object.entries(properties)) {
            if (!Object.hasOwn(value, key) && of.default !== undefined) value[key] = structuredCopy(of.default);
            if (Object.hasOwn(value, key)) walk(of, value[key], `${path}/${escaped(key)}`, say);
        }
    }
}

const structuredCopy = (value) => JSON.parse(JSON.stringify(value));

/** The settings, and what is wrong with them. `null` and nothing at all are an empty object. */
export function parseSettings(text, schema) {
    const findings = [];
    const say = (path, message) => {
        const what = path === '' ? 'the settings of this policy' : `the setting ${path}`;
        findings.push({ code: 'invalid-settings', severity: 'error', path, message: `${what} ${message}`, help: null });
    };
    let settings = {};
    try {
        settings = (text.trim() === '' ? null : JSON.parse(text)) ?? {};
    } catch (error) {
        say('', `cannot be read: ${error.message}`);
        return { settings, findings };
    }
    walk(schema ?? { type: 'object', additionalProperties: false }, settings, '', say);
    return { settings, findings };
}
