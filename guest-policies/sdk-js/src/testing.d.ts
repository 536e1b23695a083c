import type { Context, Membership, Role, Spec } from './contract.js';

/** A user as `CREATE ROLE name LOGIN` makes it. */
export function user(name: string, fields?: Partial<Role>): Role;
/** A group role as `CREATE ROLE name` makes it, which must only be present. */
export function group(name: string, fields?: Partial<Role>): Role;
/** What `GRANT role TO member` gives: INHERIT and SET, no ADMIN. */
export function membership(name: string, fields?: Partial<Membership>): Membership;
/** A spec with these roles. */
export function spec(...roles: Role[]): Spec;
/** No clock, no labels, a server of version 18. */
export function context(fields?: Partial<Context>): Context;
