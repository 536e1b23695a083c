// Under Node there is no host to log to: lines go to standard error. For `node --import ./policy/testing-log.js --test`.
import { register } from 'node:module';

const emit = 'export const emit = (level, message) => console.error(`${level}: ${message}`);';
const hooks = `
export function resolve(name, context, next) {
    if (!name.startsWith('rolewright:policy/log@')) return next(name, context);
    return { url: 'data:text/javascript,${encodeURIComponent(emit)}', shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
