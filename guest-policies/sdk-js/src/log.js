// Lines for the operator. The host adds the policy's name, cuts a line at 1,024 bytes, and stops listening after 100
// lines a call. In tests under Node the lines go to standard error.

const toStandardError = (level, message) => globalThis.process.stderr.write(`${level}: ${message}\n`);

// While a component is made there is nobody who listens; component.js sets this for each call.
let write = typeof globalThis.process === 'undefined' ? () => {} : toStandardError;

/** For component.js only: where the lines go from now on. */
export function logTo(emit) {
    write = emit;
}

export const debug = (message) => write('debug', `${message}`);
export const info = (message) => write('info', `${message}`);
export const warn = (message) => write('warn', `${message}`);
export const error = (message) => write('error', `${message}`);
