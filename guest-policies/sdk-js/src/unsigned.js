// The engine hands over a whole number of 32 bits as a signed one: 4294967295 arrives as -1. Here the few that there are
// become what the contract says, in place, before a policy sees them.

const limit = (value) => {
    if (value?.tag === 'at-most') value.val >>>= 0;
};

const grant = ({ on }) => {
    if (on.tag === 'large-object') on.val >>>= 0;
};

function role({ connectionLimit, grants }) {
    limit(connectionLimit);
    for (const each of grants) grant(each);
}

/** A spec or a catalog. */
export function unsigned(state) {
    for (const each of state.roles) role(each);
    for (const { connectionLimit } of state.databases) limit(connectionLimit);
    return state;
}

const CHANGES = {
    'create-role': role,
    'alter-role': ({ connectionLimit }) => limit(connectionLimit),
    'create-database': ({ connectionLimit }) => limit(connectionLimit),
    'alter-database': ({ connectionLimit }) => limit(connectionLimit),
    'grant-privilege': (change) => grant(change.grant),
    'revoke-privilege': (change) => grant(change.grant),
};

/** The steps of a plan. */
export function unsignedSteps(steps) {
    for (const { change } of steps) CHANGES[change.tag]?.(change.val);
    return steps;
}
