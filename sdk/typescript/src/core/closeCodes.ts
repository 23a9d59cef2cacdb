/**
 * What a close code says about coming back.
 */

/** Come back, but only after one of the longest waits. */
export const TOO_FAST = 1008;

/** All is said; a fault that would come again (protocol, data, extension, not UTF-8). */
const FOR_GOOD = [1000, 1002, 1003, 1007, 1010];

/**
 * The server's table of close codes, for one who wants to stay connected. 1001 and 1005 come from
 * proxies that restart. Codes from 3000 on are the application's own: it sent the client away.
 */
export function comesBack(code: number): boolean {
  return code < 3000 && !FOR_GOOD.includes(code);
}
