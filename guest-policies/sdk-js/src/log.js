// Lines for the operator. The host adds the policy's name, cuts a line at 1,024 bytes, and stops listening after 100
// lines a call. This module exists only inside a component; tests that load a policy which logs are run with
// `node --import ./policy/testing-log.js --test`.
import { emit } from 'rolewright:policy/log@0.1.0';

export const debug = (message) => emit('debug', `${message}`);
export const info = (message) => emit('info', `${message}`);
export const warn = (message) => emit('warn', `${message}`);
export const error = (message) => emit('error', `${message}`);
