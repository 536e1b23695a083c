// The SDK under Node: what an author writes, and what the host would get.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { definePolicy, finding, step, users, verdict } from '../src/index.js';
import { context, group, spec, user } from '../src/testing.js';

const identity = { name: 'limited', version: '0.1.0', summary: 'So many users and no more.' };
const schema = {
    type: 'object',
    additionalProperties: false,
    properties: { most: { type: 'integer', minimum: 1, default: 2 } },
};
const limited = (more = {}) => definePolicy({
    ...identity,
    settingsSchema: schema,
    validate: ({ settings, spec: { roles } }) =>
        roles.slice(settings.most).map((role) => finding.warning('crowded', role.path, 'one role too many')),
    ...more,
});
const validate = (policy, settings, ...roles) => policy.validate.validate(context(), settings, spec(...roles));

test('a policy introduces itself, and its schema is JSON', () => {
    const info = limited().describe.describe();
    assert.equal(info.name, 'limited');
    assert.deepEqual(JSON.parse(info.settingsSchema), schema);
});

test('only the stages that are written are exported', () => {
    assert.deepEqual(Object.keys(limited()), ['describe', 'configure', 'validate']);
});

test('a stage with a misspelt name, or that is no function, is refused', () => {
    assert.throws(() => limited({ reveiw() {} }), /does not know "reveiw"; there are name, .*review/);
    assert.throws(() => limited({ review: 5 }), /definePolicy\.review must be a function/);
});

test('a setting that is left out has the default of the schema', () => {
    assert.equal(validate(limited(), 'null', user('a'), user('b'), user('c')).length, 1);
    assert.equal(validate(limited(), '{"most": 1}', user('a'), user('b'), user('c')).length, 2);
});

test('settings that break the schema are findings with a place in the settings', () => {
    const wrong = (text) => limited().configure.validateSettings(text).map(({ code, path }) => `${code} ${path}`);
    assert.deepEqual(wrong('{"most": 0}'), ['invalid-settings /most']);
    assert.deepEqual(wrong('{"mots": 1}'), ['invalid-settings /mots']);
    assert.deepEqual(wrong('{"most": "two"}'), ['invalid-settings /most']);
    assert.deepEqual(wrong('{'), ['invalid-settings ']);
    assert.deepEqual(wrong('[]'), ['invalid-settings ']);
    assert.deepEqual(wrong('{"most": 3}'), []);
});

test('what the policy says of its settings comes after the schema', () => {
    const policy = limited({ checkSettings: ({ most }) => (most > 9 ? [finding.error('too-many', '/most', 'too many')] : []) });
    assert.equal(policy.configure.validateSettings('{"most": 10}')[0].code, 'too-many');
});

test('a fault while settings are checked is a finding, for there is no other way to tell', () => {
    const policy = limited({ checkSettings: () => null.length });
    assert.equal(policy.configure.validateSettings('null')[0].code, 'settings-not-checked');
});

test('an exception in a stage is thrown as its message', () => {
    const policy = limited({ validate() { throw new Error('the list is not there'); } });
    assert.throws(() => validate(policy, 'null'), (thrown) => thrown === 'the list is not there');
});

test('an answer of the wrong shape is told with its place', () => {
    const answers = [
        [{ code: 'a', severity: 'fatal', path: '', message: '' }, /^validate\[0\]\.severity must be one of info, warning, error, and is string "fatal"$/],
        [{ code: 'a', severity: 'error', path: '' }, /^validate\[0\]\.message must be a string, and is undefined$/],
        [{ ...finding.info('a', '', ''), pathh: '' }, /has a field "pathh", which Finding does not know/],
    ];
    for (const [answer, words] of answers) {
        const policy = limited({ validate: () => [answer] });
        assert.throws(() => validate(policy, 'null'), (thrown) => words.test(thrown));
    }
    assert.throws(() => validate(limited({ validate: async () => [] }), 'null'), (thrown) => /must be a list of Finding/.test(thrown));
});

test('a transform says that nothing is to be changed by leaving the spec out', () => {
    const policy = definePolicy({ ...identity, transform: () => ({ findings: [] }) });
    assert.deepEqual(policy.transform.transform(context(), 'null', spec()), { findings: [] });
    const forgetful = definePolicy({ ...identity, transform: () => {} });
    assert.throws(() => forgetful.transform.transform(context(), 'null', spec()));
});

test('a transform may return the spec alone', () => {
    const policy = definePolicy({ ...identity, transform: ({ spec: given }) => given });
    const given = spec(user('a'));
    assert.deepEqual(policy.transform.transform(context(), 'null', given), { spec: given, findings: [] });
});

test('an expiry is a whole number of seconds', () => {
    const policy = definePolicy({
        ...identity,
        transform: ({ spec: given }) => ({ spec: { ...given, roles: [user('a', { validUntil: { tag: 'at', val: 0.5 } })] }, findings: [] }),
    });
    assert.throws(() => policy.transform.transform(context(), 'null', spec()),
        (thrown) => /^transform\.spec\.roles\[0\]\.validUntil\.val must be a whole number/.test(thrown));
});

test('a step has the risk of its change', () => {
    const patch = (fields) => ({ tag: 'alter-role', val: { name: 'a', set: {}, clear: {}, ...fields } });
    assert.equal(step({ tag: 'create-role', val: user('a') }, 'declared').risk, 'safe');
    assert.equal(step({ tag: 'drop-role', val: { name: 'a' } }, 'gone').risk, 'destructive');
    assert.equal(step(patch({ clear: { login: true } }), '').risk, 'disruptive');
    assert.equal(step(patch({ clear: { inherit: true } }), '').risk, 'safe');
    assert.equal(step(patch({ validUntil: { tag: 'at', val: 1 } }), '').risk, 'disruptive');
});

test('a planner and a reviewer are handed what the host knows', () => {
    const policy = definePolicy({
        ...identity,
        plan: ({ desired, actual }) => desired.roles.slice(actual.roles.length)
            .map((role) => step({ tag: 'create-role', val: role }, 'declared', role.path)),
        review: ({ steps }) => (steps.length > 1 ? verdict.hold([finding.warning('many', '', 'many steps')]) : verdict.allow()),
    });
    const steps = policy.plan.plan(context(), 'null', spec(user('a'), user('b')), { roles: [], databases: [] });
    assert.equal(policy.review.review(context(), 'null', { roles: [], databases: [] }, steps).verdict, 'hold');
});

test('users are the roles that may log in', () => {
    assert.deepEqual(users(spec(user('a'), group('b'))).map((role) => role.name), ['a']);
});

test('in a component the console and the log go to the host, from the first call on', () => {
    const script = `
        const print = console.log;
        delete globalThis.process;
        const { definePolicy, finding } = await import('./src/index.js');
        const { component } = await import('./src/component.js');
        const log = await import('./src/log.js');
        console.log('nobody listens yet');
        const policy = definePolicy({ name: 'a', version: '0.1.0', summary: 'b', validate({ spec }) {
            console.log('looking at', spec, 5n, new Error('odd'));
            console.warn('hm');
            console.debug();
            log.error('no');
        } });
        component(policy, (level, message) => print(level + ': ' + message)).validate.validate({}, 'null', { roles: [], databases: [] });`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script],
        { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8' });
    assert.equal(stdout, 'info: looking at {"roles":[],"databases":[]} 5 Error: odd\nwarn: hm\ndebug: \nerror: no\n', stderr);
});

test('a number that the engine hands over as a negative one is what the contract says', () => {
    const large = { database: 'shop', on: { tag: 'large-object', val: -1 }, privileges: {}, grantable: {} };
    const given = () => spec(user('a', { connectionLimit: { tag: 'at-most', val: -2 }, grants: [large] }));
    const seen = [];
    const policy = definePolicy({
        ...identity,
        transform: ({ spec: { roles: [role] } }) => {
            seen.push(role.connectionLimit.val, role.grants[0].on.val);
            return { findings: [] };
        },
        review: ({ steps }) => {
            seen.push(...steps.map(({ change }) => change.val.grant?.on.val ?? change.val.connectionLimit.val));
            return verdict.allow();
        },
    });
    policy.transform.transform(context(), 'null', given());
    policy.review.review(context(), 'null', given(), [
        step({ tag: 'grant-privilege', val: { role: 'a', grant: { ...large, on: { tag: 'large-object', val: -3 } } } }, ''),
        step({ tag: 'alter-role', val: { name: 'a', set: {}, clear: {}, connectionLimit: { tag: 'at-most', val: -4 } } }, ''),
    ]);
    assert.deepEqual(seen, [-2, -1, -3, -4].map((number) => number + 2 ** 32));
});

test('an answer with everything in it, and one with what may be left out left out, are as they must be', () => {
    const full = user('a', {
        connectionLimit: { tag: 'at-most', val: 5 }, validUntil: { tag: 'never' }, hasPassword: true, labels: [{ key: 'a', value: 'b' }],
        grants: [{ database: null, on: { tag: 'schema', val: 'public' }, privileges: { select: true }, grantable: {} }],
    });
    const answer = (...roles) => definePolicy({ ...identity, transform: () => spec(...roles) }).transform.transform(context(), 'null', spec());
    assert.equal(answer(full).spec.roles[0], full);
    const { comment, connectionLimit, validUntil, credential, hasPassword, ...least } = user('b');
    assert.equal(answer(least).spec.roles.length, 1);
    const wrong = [
        [{ comnent: '?' }, /roles\[1\] has a field "comnent", which Role does not know/],
        [{ attributes: { superuesr: true } }, /roles\[1\]\.attributes has a field "superuesr"/],
        [{ connectionLimit: { tag: 'at-most', val: '5' } }, /roles\[1\]\.connectionLimit\.val must be a whole number/],
        [{ validUntil: { tag: 'at', val: 1.5 } }, /roles\[1\]\.validUntil\.val must be a whole number/],
        [{ labels: [{ key: 'a' }] }, /roles\[1\]\.labels\[0\]\.value must be a string, and is undefined/],
        [{ mode: 'strict' }, /roles\[1\]\.mode must be one of/],
    ];
    for (const [fields, words] of wrong) assert.throws(() => answer(full, user('b', fields)), (thrown) => words.test(thrown));
});
