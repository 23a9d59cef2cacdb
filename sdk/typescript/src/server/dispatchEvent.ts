/**
 * What a Dispatcher has servers do, besides telling users something.
 */

/** What can be done: `DISCONNECT_CLIENT` closes all sockets of users with 1000. */
export type DispatchAction = "DISCONNECT_CLIENT";

/** Something that servers do to users. */
export class DispatchEvent {
  /** What they do. */
  readonly action: DispatchAction;

  /** To be given to `dispatch` with the users it is about. */
  constructor(action: DispatchAction) {
    this.action = action;
  }

  /** The event as it goes through Redis. */
  serialize(): string {
    return JSON.stringify({ op: 5, d: {}, t: this.action });
  }
}
