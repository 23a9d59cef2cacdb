/**
 * The options of a request.
 */

import { BOOLEAN, MILLISECONDS, SIGNAL, type Expectations } from "../core/check.js";
import type { CallOptions } from "../core/timeout.js";

/** Options of a request. */
export interface RequestOptions extends CallOptions {
  /**
   * The request may be handled twice: if the connection is lost before the reply, it is sent again after the reconnect,
   * in place of rejecting with `DisconnectedError`. Default false.
   */
  readonly idempotent?: boolean | undefined;
}

/** The expectations for the options of a request. */
export const REQUEST_OPTIONS: Expectations<RequestOptions> = { signal: SIGNAL, timeout: MILLISECONDS, idempotent: BOOLEAN };
