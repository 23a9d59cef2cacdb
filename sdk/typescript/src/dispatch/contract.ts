/**
 * The types of a page's events and user info.
 *
 * ```ts
 * interface Game {
 *   events: { move: { from: string; to: string }; again: undefined };
 *   userInfo: { name: string };
 * }
 * const dispatch = new Dispatch<Game>({ projectId: "chess" });
 * ```
 */

import type { Unchecked } from "../core/unchecked.js";
import type { UncheckedUserInfo } from "./events.js";

/** The events of a shard and the user info of its members. Every part is optional. */
export interface ShardContract {
  /** Events between the members: name to payload. */
  readonly events?: object;
  /** The object that members pass to `setUserInfo`. */
  readonly userInfo?: object;
}

/** No contract: every event name is accepted, and payloads and user infos are unchecked. */
export interface UntypedShard extends ShardContract {
  /** Distinguishes it from a contract. */
  readonly untyped: true;
}

/** An absent part has no members. */
type EventsOf<C extends ShardContract> = [NonNullable<C["events"]>] extends [never] ? object : NonNullable<C["events"]>;

/** The names of the events; without a contract any string. */
export type EventNames<C extends ShardContract> = C extends UntypedShard ? string : keyof EventsOf<C> & string;

/** The payload of an event, as it is sent. */
export type PayloadOf<C extends ShardContract, N> = C extends UntypedShard
  ? Unchecked
  : N extends keyof EventsOf<C>
    ? EventsOf<C>[N]
    : undefined;

/** The payload of an event, as it arrives: the server adds the sender and the time to an object; `{}` if it was absent. */
export type ReceivedPayloadOf<C extends ShardContract, N> = C extends UntypedShard ? Unchecked : Received<PayloadOf<C, N>>;

type Received<P> = P extends undefined | null ? PayloadMetadata : P extends readonly unknown[] ? P : P extends object ? P & PayloadMetadata : P;

/** The members that the server adds to payloads that are objects. */
export interface PayloadMetadata {
  /** The sender; absent if the server application sent the event. */
  readonly __clientId?: string;
  /** When the server received the event, in ms since 1970. */
  readonly __timestamp: number;
}

/** The user info, as it is set. */
export type UserInfoOf<C extends ShardContract> = C extends UntypedShard ? object : SetUserInfo<C["userInfo"]>;

type SetUserInfo<U> = [NonNullable<U>] extends [never] ? object : NonNullable<U>;

/** The user info in the member list, where it is `{}` until its client sets it. */
export type ListedUserInfoOf<C extends ShardContract> = C extends UntypedShard
  ? UncheckedUserInfo
  : Readonly<Partial<SetUserInfo<C["userInfo"]>>>;

/** The arguments after the event name; the payload is optional if its type includes `undefined`. */
export type EmitArguments<Payload, Rest extends unknown[]> = undefined extends Payload
  ? [payload?: Payload, ...rest: Rest]
  : [payload: Payload, ...rest: Rest];
