// Looks over what a policy returns before it crosses into the host: the canonical ABI would answer a missing field with a
// crash that names nothing. It checks shapes only; what values mean is the host's business.
import { shapes } from './shapes.js';

function fail(place, wanted, value) {
    const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : `${typeof value} ${shown(value)}`.trim();
    throw new Error(`${place} must be ${wanted}, and is ${found}`);
}

function shown(value) {
    if (typeof value === 'function' || typeof value === 'symbol' || value === undefined) return '';
    const text = typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? '');
    return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function whole(least, most) {
    return (value, place) => {
        if (!Number.isInteger(value) || value < least || value > most) {
            fail(place, `a whole number from ${least} to ${most}`, value);
        }
    };
}

const plain = {
    string: (value, place) => typeof value === 'string' || fail(place, 'a string', value),
    bool: (value, place) => typeof value === 'boolean' || fail(place, 'true or false', value),
    u8: whole(0, 255),
    u32: whole(0, 2 ** 32 - 1),
    // Seconds. At its ends a number of JavaScript is no longer exact, but what was handed over may be handed back.
    s64: whole(-(2 ** 63), 2 ** 63),
};

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// What follows says the same a second time, in one compiled function for each type: a spec may have thousands of roles with
// dozens of values, and a call has only so much fuel. Only what does not pass there is walked along, to say where.
const compiled = {};

/** An expression that is true if the variable is exactly as the type wants it. */
function expression(type, v) {
    if (type.option) return `(${v} === null || ${v} === undefined || ${expression(type.option, v)})`;
    if (type.list) return `(Array.isArray(${v}) && (${v}.length === 0 || every(${v}, (v) => ${expression(type.list, 'v')})))`;
    if (type === 'string') return `typeof ${v} === 'string'`;
    if (type === 'bool') return `(${v} === true || ${v} === false)`;
    if (plain[type]) return `isWhole.${type}(${v})`;
    compiled[type] ??= compile(shapes[type]);
    return `compiled.${type}(${v})`;
}

const isWhole = {
    u8: (v) => Number.isInteger(v) && v >= 0 && v <= 255,
    u32: (v) => Number.isInteger(v) && v >= 0 && v <= 2 ** 32 - 1,
    s64: (v) => Number.isInteger(v) && v >= -(2 ** 63) && v <= 2 ** 63,
};

function every(list, fits) {
    for (let at = 0; at < list.length; at += 1) if (!fits(list[at])) return false;
    return true;
}

const at = (name) => (/^[a-zA-Z]+$/.test(name) ? `v.${name}` : `v[${JSON.stringify(name)}]`);

function compile({ record, flags, enum: words, variant }) {
    if (words) {
        const known = new Set(words);
        return (v) => known.has(v);
    }
    if (variant) {
        const cases = Object.fromEntries(Object.entries(variant).map(([tag, type]) =>
            [tag, type === null ? () => true : evaluated(`(v) => ${expression(type, 'v')}`)]));
        return (v) => typeof v === 'object' && v !== null && Object.hasOwn(cases, v.tag) && cases[v.tag](v.val);
    }
    const names = record ? Object.keys(record) : flags;
    const parts = names.map((name) => (record ? expression(record[name], at(name)) : `(${at(name)} === false || ${at(name)} === true)`));
    // With a field more than these it may be that one of them is misspelt.
    return evaluated(`(v) => typeof v === 'object' && v !== null && ${parts.join(' && ')} && Object.keys(v).length <= ${names.length}`);
}

const evaluated = (text) => new Function('compiled', 'isWhole', 'every', `return ${text}`)(compiled, isWhole, every);

/** A check that throws an error which names the place, what belongs there, and what is there. */
export function checking(type) {
    const isExact = evaluated(`(v) => ${expression(type, 'v')}`);
    return (value, place) => {
        if (!isExact(value)) check(type, value, place);
    };
}

function check(type, value, place) {
    if (type.option) {
        if (value !== null && value !== undefined) check(type.option, value, place);
        return;
    }
    if (type.list) {
        if (!Array.isArray(value)) fail(place, `a list of ${type.list}`, value);
        value.forEach((entry, index) => check(type.list, entry, `${place}[${index}]`));
        return;
    }
    if (plain[type]) {
        plain[type](value, place);
        return;
    }
    const { record, flags, enum: words, variant } = shapes[type];
    if (words) {
        if (!words.includes(value)) fail(place, `one of ${words.join(', ')}`, value);
        return;
    }
    if (!isObject(value)) fail(place, `an object (${type})`, value);
    if (record) {
        known(value, Object.keys(record), place, type);
        for (const [field, of] of Object.entries(record)) check(of, value[field], `${place}.${field}`);
    } else if (flags) {
        known(value, flags, place, type);
        for (const flag of flags) if (value[flag] !== undefined) plain.bool(value[flag], `${place}.${flag}`);
    } else {
        if (!Object.hasOwn(variant, value.tag)) fail(`${place}.tag`, `one of ${Object.keys(variant).join(', ')}`, value.tag);
        if (variant[value.tag] !== null) check(variant[value.tag], value.val, `${place}.val`);
    }
}

function known(value, names, place, type) {
    const stranger = Object.keys(value).find((name) => !names.includes(name));
    if (stranger !== undefined) throw new Error(`${place} has a field ${JSON.stringify(stranger)}, which ${type} does not know`);
}
