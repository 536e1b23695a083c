/** For somebody who looks for a fault in the policy. */
export function debug(message: unknown): void;
/** Good to know. */
export function info(message: unknown): void;
/** Worth a look. */
export function warn(message: unknown): void;
/** Something went wrong. It blocks nothing: a finding or an exception does. */
export function error(message: unknown): void;
