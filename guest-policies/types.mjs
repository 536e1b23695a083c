// Writes the contract's types for the SDKs of JavaScript and Python, from the WIT in ../wit, so that they cannot drift:
//
//     node guest-policies/types.mjs            writes the files
//     node guest-policies/types.mjs --check    fails if they are not what would be written
//
// It reads only the part of WIT that the contract uses (records, enums, flags, variants, with their comments), and fails
// on anything else. What the SDKs do with the types is written by hand, beside the generated files.
import { readFileSync, writeFileSync } from 'node:fs';

const here = new URL('.', import.meta.url);
const INTERFACES = ['types', 'changes', 'describe', 'transform', 'review'];
/** In WIT two stages have an `outcome`; in a language that has one list of names they need two. */
const RENAMED = { 'transform.outcome': 'transformed', 'review.outcome': 'reviewed' };

// ---- reading -------------------------------------------------------------------------------------------------------

/** Words, signs, and `///` lines; other comments are dropped. */
function tokens(text) {
    const found = text.matchAll(/\/\/\/ ?(?<doc>.*)|\/\/.*|(?<word>%?[a-z][a-z0-9-]*(?:@[0-9.]+)?)|(?<sign>->|[{}()<>:;,=.])/g);
    return [...found].filter(({ groups }) => Object.values(groups).some((part) => part !== undefined))
        .map(({ groups }) => (groups.doc !== undefined ? { doc: groups.doc.trimEnd() } : { text: groups.word ?? groups.sign }));
}

/** The type definitions of one interface: [{ kind, name, doc, fields: [{ name, doc, type }] }]. */
function definitions(name) {
    const list = tokens(readFileSync(new URL(`../wit/${name}.wit`, here), 'utf8'));
    let at = 0;
    let doc = [];
    const peek = () => {
        while (list[at]?.doc !== undefined) doc.push(list[at++].doc);
        return list[at]?.text;
    };
    const next = (wanted) => {
        const text = peek();
        at += 1;
        if (text === undefined || (wanted !== undefined && text !== wanted)) {
            throw new Error(`wit/${name}.wit: ${wanted ?? 'more'} expected, ${text ?? 'the end'} found`);
        }
        return text;
    };
    const identifier = () => next().replace(/^%/, '');
    const taken = () => {
        const text = doc;
        doc = [];
        return text;
    };
    const type = () => {
        const word = identifier();
        if (word !== 'list' && word !== 'option') return RENAMED[`${name}.${word}`] ?? word;
        next('<');
        const of = type();
        next('>');
        return { [word]: of };
    };

    peek();
    next('interface');
    next(name);
    next('{');
    taken();
    const found = [];
    while (peek() !== '}') {
        const about = taken();
        const kind = identifier();
        if (kind === 'use') {
            while (next() !== '}');
            next(';');
            continue;
        }
        if (!['record', 'enum', 'flags', 'variant'].includes(kind)) {
            while (next() !== ';'); // A function: its types are those of the stage, written by hand in the SDKs.
            continue;
        }
        const plain = identifier();
        const fields = [];
        next('{');
        while (peek() !== '}') {
            const field = { doc: taken(), name: identifier(), type: null };
            if (kind === 'record') {
                next(':');
                field.type = type();
            } else if (kind === 'variant' && peek() === '(') {
                next('(');
                field.type = type();
                next(')');
            }
            if (peek() === ',') next(',');
            fields.push(field);
        }
        next('}');
        found.push({ kind, name: RENAMED[`${name}.${plain}`] ?? plain, doc: about, fields });
    }
    return found;
}

// ---- writing -------------------------------------------------------------------------------------------------------

const camel = (kebab) => kebab.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
const pascal = (kebab) => camel(`-${kebab}`);
const snake = (kebab) => kebab.replaceAll('-', '_');

const TYPESCRIPT = { string: 'string', bool: 'boolean', u8: 'number', u32: 'number', s64: 'number' };

function typescript(type) {
    if (type.list) return `${typescript(type.list)}[]`;
    if (type.option) return `${typescript(type.option)} | null`;
    return TYPESCRIPT[type] ?? pascal(type);
}

function comment(doc, indent) {
    if (doc.length === 0) return '';
    if (doc.length === 1) return `${indent}/** ${doc[0]} */\n`;
    return `${indent}/**\n${doc.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */\n`;
}

function declaration({ kind, name, doc, fields }) {
    const head = comment(doc, '');
    if (kind === 'record') {
        const lines = fields.map((field) =>
            `${comment(field.doc, '    ')}    ${camel(field.name)}${field.type.option ? '?' : ''}: ${typescript(field.type)};\n`);
        return `${head}export interface ${pascal(name)} {\n${lines.join('')}}\n`;
    }
    if (kind === 'flags') {
        const lines = fields.map((field) => `${comment(field.doc, '    ')}    ${camel(field.name)}?: boolean;\n`);
        return `${head}export interface ${pascal(name)} {\n${lines.join('')}}\n`;
    }
    const cases = fields.map((field) => {
        const shape = kind === 'enum' ? `'${field.name}'`
            : field.type === null ? `{ tag: '${field.name}' }` : `{ tag: '${field.name}'; val: ${typescript(field.type)} }`;
        return `${comment(field.doc, '    ')}    | ${shape}`;
    });
    return `${head}export type ${pascal(name)} =\n${cases.join('\n')};\n`;
}

/** What the SDK's check walks along, as JavaScript literals. */
function shape({ kind, name, fields }) {
    const literal = (type) => {
        if (type === null) return 'null';
        if (type.list) return `{ list: ${literal(type.list)} }`;
        if (type.option) return `{ option: ${literal(type.option)} }`;
        return `'${TYPESCRIPT[type] ? type : pascal(type)}'`;
    };
    const key = (field) => {
        const word = kind === 'variant' ? field.name : camel(field.name);
        return /^[a-zA-Z]+$/.test(word) ? word : `'${word}'`;
    };
    const entries = kind === 'enum' || kind === 'flags'
        ? `[${fields.map((field) => `'${kind === 'enum' ? field.name : camel(field.name)}'`).join(', ')}]`
        : `{\n${fields.map((field) => `            ${key(field)}: ${literal(field.type)},\n`).join('')}        }`;
    return `    ${pascal(name)}: {\n        ${kind}: ${entries},\n    },\n`;
}

const PYTHON = { string: 'str', bool: 'bool', u8: 'U8', u32: 'U32', s64: 'S64' };

function python(type) {
    if (type.list) return `list[${python(type.list)}]`;
    if (type.option) return `${python(type.option)} | None`;
    return PYTHON[type] ?? pascal(type);
}

/** A docstring, or the comment lines above a field. */
const docstring = (doc) => (doc.length === 0 ? '' : doc.length === 1 ? `    """${doc[0]}"""\n\n`
    : `    """${doc[0]}\n${doc.slice(1).map((line) => `    ${line}`.trimEnd()).join('\n')}\n    """\n\n`);
const remarks = (doc) => doc.map((line) => `    # ${line}\n`).join('');
const pythonName = (word) => (['from'].includes(word) ? `${snake(word)}_` : snake(word));

/** Fields at the end of a record that may be left out when one is made: what is optional, lists, and the path. */
function pythonDefaults(fields) {
    const defaults = new Map();
    for (const field of [...fields].reverse()) {
        if (field.type.option) defaults.set(field.name, ' = None');
        else if (field.type.list) defaults.set(field.name, ' = field(default_factory=list)');
        else if (field.name === 'path') defaults.set(field.name, ' = ""');
        else break;
    }
    return defaults;
}

function pythonClass({ kind, name, doc, fields }) {
    const title = pascal(name);
    if (kind === 'record') {
        const defaults = pythonDefaults(fields);
        const lines = fields.map((field) =>
            `${remarks(field.doc)}    ${pythonName(field.name)}: ${python(field.type)}${defaults.get(field.name) ?? ''}\n`);
        return `@dataclass(slots=True)\nclass ${title}:\n${docstring(doc)}${lines.join('')}`;
    }
    if (kind === 'enum' || kind === 'flags') {
        const lines = fields.map((field, index) =>
            `${remarks(field.doc)}    ${snake(field.name).toUpperCase()} = ${kind === 'enum' ? index : 1 << index}\n`);
        return `class ${title}(${kind === 'enum' ? 'Enum' : 'Flag'}):\n${docstring(doc)}${lines.join('')}`;
    }
    const cases = fields.map((field) => {
        const body = field.type === null ? '' : `    value: ${python(field.type)}\n`;
        const about = docstring(field.doc).replace(/\n\n$/, body === '' ? '\n' : '\n\n');
        return `@dataclass(slots=True)\nclass ${title}${pascal(field.name)}:\n${about}${body || (about ? '' : '    pass\n')}`;
    });
    const about = doc.map((line) => `# ${line}\n`).join('');
    const names = fields.map((field) => `    ${title}${pascal(field.name)},\n`).join('');
    return `${cases.join('\n\n')}\n\n${about}${title} = Union[\n${names}]\n`;
}

const all = INTERFACES.flatMap(definitions);
const NOTE = 'Written by guest-policies/types.mjs from wit/*.wit, which says the same. Do not edit.';

const files = {
    'sdk-js/src/contract.d.ts': `// ${NOTE}\n\n${all.map(declaration).join('\n')}`,
    'sdk-js/src/shapes.js':
        `// ${NOTE}\n// What each type of the contract looks like, for check.js.\n\nexport const shapes = {\n${all.map(shape).join('')}};\n`,
    'sdk-py/rolewright_policy/contract.py': [
        `# ${NOTE}`,
        '"""The types of the contract."""',
        '',
        'from __future__ import annotations',
        '',
        'from dataclasses import dataclass, field',
        'from enum import Enum, Flag',
        'from typing import Annotated, Union',
        '',
        '# Whole numbers, with the range that is theirs: a type checker takes them for `int`.',
        'U8 = Annotated[int, range(2**8)]',
        'U32 = Annotated[int, range(2**32)]',
        'S64 = Annotated[int, range(-(2**63), 2**63)]',
        '',
        '',
        all.map(pythonClass).join('\n\n'),
    ].join('\n'),
};

let stale = 0;
for (const [path, text] of Object.entries(files)) {
    const url = new URL(path, here);
    if (!process.argv.includes('--check')) {
        writeFileSync(url, text);
    } else if (readFileSync(url, 'utf8') !== text) {
        console.error(`guest-policies/${path} does not say what wit/ says: run \`node guest-policies/types.mjs\``);
        stale = 1;
    }
}
process.exitCode = stale;
