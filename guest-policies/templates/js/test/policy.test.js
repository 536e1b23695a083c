// The rule without WebAssembly: `npm test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import policy from '../index.js';
import { context, spec, user } from '../policy/testing.js';

const refused = (settings, ...names) =>
    policy.validate.validate(context(), JSON.stringify(settings), spec(...names.map((name) => user(name)))).map(({ path }) => path);

test('a name needs one of the prefixes', () => {
    assert.deepEqual(refused({ prefixes: ['app_', 'team_'] }, 'app_shop', 'alice'), ['/users/alice']);
});

test('without settings every name is fine', () => {
    assert.deepEqual(refused(null, 'alice'), []);
});
