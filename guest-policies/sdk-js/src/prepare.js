// The first half of a build. It loads the policy under Node, and writes into build/ what componentize-qjs needs:
//
//     node policy/prepare.js [--wit wit]
//
//     build/wit/          the contract, and the world `policy`: the stages that the policy has, no more and no fewer
//     build/component.js  the module that exports them
//
// An author writes a stage in one place, so nothing can be forgotten in another; and what cannot be loaded is said in
// Node's words, which have the file and the line. Inside of the engine neither is known.
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const CODE = 'index.js';
const BUILD = 'build';
/** The world of wit/worlds.wit that exports each stage. */
const WORLDS = { validate: 'validator', transform: 'transformer', plan: 'planner', review: 'reviewer' };

function stop(message) {
    console.error(message);
    process.exit(1);
}

/** Node shows the line of a fault only for what nobody catches, so it loads the policy a second time, on its own. */
function explain(url) {
    const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', `await import(${JSON.stringify(url)})`],
        { encoding: 'utf8' });
    const ofNode = /^\s+at .*(?:node:internal|\[eval)|^Node\.js v|^\s*$/;
    return stderr.split('\n').filter((line) => !ofNode.test(line)).join('\n');
}

async function load() {
    const { href } = pathToFileURL(CODE);
    try {
        return (await import(href)).default;
    } catch (error) {
        return stop(explain(href) || `${CODE} cannot be loaded: ${error.stack ?? error}`);
    }
}

const policy = await load();
if (typeof policy?.describe?.describe !== 'function') {
    stop(`${CODE} must end with \`export default definePolicy({ … })\`, and its default export is no such policy`);
}
const stages = Object.keys(WORLDS).filter((stage) => policy[stage]);
if (stages.length === 0) stop(`${CODE} takes part in no stage: write at least one of ${Object.keys(WORLDS).join(', ')}`);

const wit = process.argv[2] === '--wit' ? process.argv[3] : 'wit';
const wrote = `// Written from ${CODE} by each build.\n`;
rmSync(join(BUILD, 'wit'), { recursive: true, force: true });
cpSync(wit, join(BUILD, 'wit'), { recursive: true });
writeFileSync(join(BUILD, 'wit', 'policy.wit'),
    `${wrote}world policy {\n${stages.map((stage) => `    include ${WORLDS[stage]};\n`).join('')}}\n`);
// As it was called: a link to this directory stays one, so that each module is loaded once.
const sdk = relative(resolve(BUILD), dirname(resolve(process.argv[1])));
writeFileSync(join(BUILD, 'component.js'), `${wrote}import { emit } from 'rolewright:policy/log@0.1.0';
import policy from '../${CODE}';
import { component } from '${sdk}/component.js';

export const { ${['describe', 'configure', ...stages].join(', ')} } = component(policy, emit);
`);
console.log(`${CODE} takes part in: ${stages.join(', ')}`);
