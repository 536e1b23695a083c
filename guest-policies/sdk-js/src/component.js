// What stands between the engine and a policy in a component. prepare.js writes the module that uses it.
import { logTo } from './log.js';

/** The exports of a policy, whose log is heard from the first call on: nobody listens while a component is made. */
export function component(policy, emit) {
    const heard = (work) => (...given) => {
        logTo(emit);
        return work(...given);
    };
    return Object.fromEntries(Object.entries(policy).map(([stage, functions]) =>
        [stage, Object.fromEntries(Object.entries(functions).map(([name, work]) => [name, heard(work)]))]));
}
