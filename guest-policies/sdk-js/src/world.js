// What the world of a component lacks. A policy has no clock and no random numbers: the engine's own would crash the call
// without a word, so they are replaced by ones that say what to do. And the engine has no console: what is written to it
// goes to the log. Outside of a component (in a test under Node) nothing is touched.
import * as log from './log.js';

const inComponent = typeof globalThis.process === 'undefined';

function missing(what, instead) {
    return () => {
        throw new Error(`a policy has no ${what}: ${instead}`);
    };
}

function shown(value) {
    if (typeof value !== 'object' || value === null) return String(value);
    if (value instanceof Error) return `${value}`;
    try {
        return JSON.stringify(value);
    } catch {
        return String(value); // A circle, or a number that JSON has no words for.
    }
}

if (inComponent) {
    const noClock = missing('clock', 'set clockStepSeconds in definePolicy and use context.now');
    const Actual = globalThis.Date;
    globalThis.Date = class Date extends Actual {
        constructor(...given) {
            if (given.length === 0) noClock();
            super(...given);
        }

        static now() {
            return noClock();
        }
    };
    globalThis.Math.random = missing('random numbers', 'the same input must give the same answer');
    const line = (level) => (...values) => level(values.map(shown).join(' '));
    globalThis.console = {
        log: line(log.info), info: line(log.info), warn: line(log.warn), error: line(log.error), debug: line(log.debug),
    };
}
