// The rule without WebAssembly: `npm test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import policy from '../index.js';
import { context, group, spec, user } from '../policy/testing.js';

const codes = (settings, ...roles) =>
    policy.validate.validate(context(), JSON.stringify(settings), spec(...roles)).map(({ code, path }) => `${code} at ${path}`);

test('a name needs one of the prefixes', () => {
    const settings = { prefixes: ['app_', 'team_'] };
    assert.deepEqual(codes(settings, user('app_shop'), user('team_a'), user('alice')), ['name-prefix at /users/alice']);
});

test('a name is made of the allowed characters', () => {
    const settings = { 'allowed-characters': 'abcdefghijklmnopqrstuvwxyz_' };
    assert.deepEqual(codes(settings, user('app_shop'), user('Alice')), ['name-characters at /users/Alice']);
});

test('exceptions may have any name, and group roles are not users', () => {
    assert.deepEqual(codes({ prefixes: ['app_'], exceptions: ['alice'] }, user('alice'), group('analyst')), []);
});

test('an empty prefix is refused with its place in the settings', () => {
    assert.equal(policy.configure.validateSettings('{"prefixes": ["a", ""]}')[0].path, '/prefixes/1');
});

test('without settings every name is fine', () => {
    assert.deepEqual(codes(null, user('Alice'), user('名前')), []);
});
