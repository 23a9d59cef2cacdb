/**
 * The close codes after which a client reconnects.
 */

/** Reconnect, but only after one of the longest delays: the client sent too much. */
export const POLICY_VIOLATION = 1008;

/** The server restarts. */
export const SERVICE_RESTART = 1012;

/** A normal close, and faults that would repeat: protocol, data type, UTF-8, extension. */
const FINAL_CODES = [1000, 1002, 1003, 1007, 1010];

/** The codes from here on belong to the application, which closed on purpose. */
const APPLICATION_CODES_MIN = 3000;

/** Whether a client may reconnect after this close code. Restarting proxies close with 1001 and 1005. */
export function allowsReconnect(code: number): boolean {
  return code < APPLICATION_CODES_MIN && !FINAL_CODES.includes(code);
}
