// What a build is prepared from: projects as authors leave them, under Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const identity = "name: 'limited', version: '0.1.0', summary: 'So many users and no more.'";

/** A project with these lines for a policy, prepared. */
function prepared(t, code, more = {}) {
    const project = mkdtempSync(join(tmpdir(), 'rolewright-'));
    t.after(() => rmSync(project, { recursive: true }));
    symlinkSync(join(here, '../src'), join(project, 'policy'));
    const files = { 'package.json': '{"type": "module"}', 'index.js': `import { definePolicy } from './policy/index.js';\n${code}\n`, ...more };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['policy/prepare.js', '--wit', join(here, '../../../wit')],
        { cwd: project, encoding: 'utf8' });
    return { status, stdout, stderr, read: (file) => readFileSync(join(project, 'build', file), 'utf8') };
}

test('the world has the stages of the code', (t) => {
    const { status, stderr, stdout, read } = prepared(t, `export default definePolicy({ ${identity}, validate() {}, review() {} });`);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'index.js takes part in: validate, review\n');
    assert.deepEqual(read('wit/policy.wit').match(/include \w+/g), ['include validator', 'include reviewer']);
    assert.match(read('component.js'), /export const \{ describe, configure, validate, review \}/);
    assert.match(read('component.js'), /from '\.\.\/policy\/component\.js'/);
    assert.match(read('wit/worlds.wit'), /world validator/);
});

test('a policy that is not exported, or does nothing, is told so', (t) => {
    const said = (code) => prepared(t, code).stderr;
    assert.match(said(`export const { describe, validate } = definePolicy({ ${identity}, validate() {} });`), /must end with `export default/);
    assert.match(said(`export default { ${identity}, validate() {} };`), /must end with `export default/);
    assert.match(said(`export default definePolicy({ ${identity} });`), /^index\.js takes part in no stage: write at least one/);
});

test('what cannot be loaded is said with file, line and source, and nothing else', (t) => {
    const { status, stderr } = prepared(t, 'export default definePolicy({\n    validate: [\n});');
    assert.equal(status, 1);
    assert.match(stderr, /^file:\S+index\.js:4\n\}\);\n\^\nSyntaxError: /);
    assert.equal(stderr.trimEnd().split('\n').length, 4, stderr);
    const other = prepared(t, "import './other.js';", { 'other.js': 'const a = 1;\nconst b = a +;\n' }).stderr;
    assert.match(other, /other\.js:2\nconst b = a \+;/);
    const thrown = prepared(t, 'export default definePolicy({ name: 1 });').stderr;
    assert.match(thrown, /definePolicy\.name must be a string, and is number 1[^]*index\.js:2:/);
});
