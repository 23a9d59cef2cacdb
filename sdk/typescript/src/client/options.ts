/**
 * The options of an `EmitClient`.
 */

import type { ConnectionOptions } from "../core/options.js";
import type { Schemas } from "./contract.js";

/** Options of a client. `reconnect` is false by default here, and `maxRetries` 10. */
export interface EmitClientOptions extends ConnectionOptions {
  /** How long a request waits for its reply, in ms. Default 10,000; 0 is no limit. */
  readonly requestTimeout?: number | undefined;
  /** The longest message, in bytes; the server closes on longer ones. Default 1,048,576. */
  readonly messageBytesMax?: number | undefined;
  /** The name in the query under which the token of `getToken` is sent. Default `token`. */
  readonly tokenParameter?: string | undefined;
  /** Checks data of both directions while the program runs. */
  readonly schemas?: Schemas | undefined;
}
