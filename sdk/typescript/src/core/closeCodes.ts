/**
 * The close codes after which a client reconnects.
 */

/** Reconnect, but only after one of the longest delays: the client sent too much. */
export const POLICY_VIOLATION = 1008;

/**
 * Whether a client may reconnect after this close code. Restarting proxies close with 1001 and 1005.
 *
 * No reconnect: 1000 is a normal close; 1002, 1003, 1007 and 1010 are faults that would repeat (protocol,
 * data type, UTF-8, extension); codes from 3000 on belong to the application, which closed on purpose.
 */
export function allowsReconnect(code: number): boolean {
  return !/^(10(0[0237]|10)|[3-9])/.test(`${code}`);
}
