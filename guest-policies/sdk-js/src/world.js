// A policy has no clock and no random numbers. In a component the engine's own would crash the call without a word, so
// they are replaced by ones that say what to do. Outside of a component (in a test under Node) nothing is touched.

const inComponent = typeof globalThis.process === 'undefined';

function missing(what, instead) {
    return () => {
        throw new Error(`a policy has no ${what}: ${instead}`);
    };
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
}
