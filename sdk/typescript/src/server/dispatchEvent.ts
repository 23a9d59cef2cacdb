/**
 * Actions that a Dispatcher requests from servers.
 */

/** `DISCONNECT_CLIENT` closes all sockets of the users with code 1000. */
export type DispatchAction = "DISCONNECT_CLIENT";

/** An action on users; pass it to `dispatch` with the users it applies to. */
export class DispatchEvent {
  /** The action. */
  readonly action: DispatchAction;

  /** Creates the event without sending it. */
  constructor(action: DispatchAction) {
    this.action = action;
  }

  /** Encodes the event for Redis. */
  serialize(): string {
    return JSON.stringify({ op: 5, d: {}, t: this.action });
  }
}
