/**
 * What a close code says about coming back.
 */

/** Come back, but only after one of the longest waits. */
export const POLICY_VIOLATION = 1008;

/**
 * 1000, all is said; 1002, 1003, 1007 and 1010, faults that would come again (protocol, data, not
 * UTF-8, extension); from 3000 on the application's own: it sent the client away.
 */
const FOR_GOOD = /^(10(0[0237]|10)|[3-9])/;

/**
 * The server's table of close codes, for one who wants to stay connected. 1001 and 1005 come from
 * proxies that restart.
 */
export function allowsReconnect(code: number): boolean {
  return !FOR_GOOD.test(`${code}`);
}
