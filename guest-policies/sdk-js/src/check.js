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
    // Seconds. Beyond this a number of JavaScript is no longer exact.
    s64: whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
};

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws an error that names the place, what belongs there, and what is there. */
export function check(type, value, place) {
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
