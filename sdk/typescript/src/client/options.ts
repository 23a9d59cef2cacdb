/**
 * The options of `EmitClient`.
 */

import { BOOLEAN, BYTES, MILLISECONDS, NAME, OBJECT } from "../core/check.js";
import type { ConnectionOptions, OwnExpectations } from "../core/options.js";
import type { Schemas } from "./schema.js";

/** Options of a client. `reconnect` defaults to false, `maxRetries` to 10. */
export interface EmitClientOptions extends ConnectionOptions {
  /** How long a request waits for its reply, in ms. Default 10,000; 0 is no limit. */
  readonly requestTimeout?: number | undefined;
  /** The longest message, in bytes; the server closes the connection on longer ones. Default 1,048,576. */
  readonly messageBytesMax?: number | undefined;
  /** The query parameter that carries the token of `getToken`. Default `token`. */
  readonly tokenParameter?: string | undefined;
  /**
   * With `reconnect`, whether to resume the session if the server keeps it: the socket has its id, rooms, tags and user
   * again. Default true.
   */
  readonly resume?: boolean | undefined;
  /** Validates data in both directions at run time. */
  readonly schemas?: Schemas | undefined;
}

/** The expectations for the options that other clients do not have. */
export const OWN_OPTIONS: OwnExpectations<EmitClientOptions> = {
  requestTimeout: MILLISECONDS,
  messageBytesMax: BYTES,
  tokenParameter: NAME,
  resume: BOOLEAN,
  schemas: OBJECT,
};
