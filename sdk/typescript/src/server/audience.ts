/**
 * Audiences: the recipients of a message, as user ids or as any union of the sets that a server knows.
 */

import { BOOLEAN, check, checkOptions, OBJECT, type Expectation, type Expectations } from "../core/check.js";
import { UnsupportedError } from "./errors.js";

/** A union of sets of sockets. */
export interface Audience {
  /** All sockets of these users. */
  readonly users?: readonly string[] | undefined;
  /** All sockets in these rooms; the leading `#` is optional. */
  readonly rooms?: readonly string[] | undefined;
  /** All sockets with these tags; the leading `*` is optional. */
  readonly tags?: readonly string[] | undefined;
  /** These sockets. */
  readonly sockets?: readonly string[] | undefined;
  /** Every socket of the namespace. */
  readonly everyone?: boolean | undefined;
}

/** User ids, `["*"]` for everyone, or an audience. */
export type Recipients = readonly string[] | Audience;

/** An audience with every part present. */
export type ResolvedAudience = { readonly [Part in keyof Audience]-?: NonNullable<Audience[Part]> };

/** An audience as messages of the original protocol contain it. */
export interface LegacyAudience {
  /** User ids, or `*` for everyone. */
  readonly recipients: readonly string[];
  /** With `*`: user ids that do not receive the message. A Switchboard extension, which original servers ignore. */
  readonly excluding?: readonly string[] | undefined;
}

const isId = (value: unknown): boolean => /^(string|number|bigint)$/.test(typeof value);
const ID: Expectation = { expected: "a string or a number", allows: isId };
const IDS: Expectation = { expected: "an array of ids", allows: Array.isArray };
const AUDIENCE: Expectations<Audience> = { users: IDS, rooms: IDS, tags: IDS, sockets: IDS, everyone: BOOLEAN };

/** The user id that addresses everyone. */
const EVERYONE = "*";

/**
 * Fills in absent parts with empty ones. `everyone` includes all other parts, so they are dropped. Throws
 * `BadOptionError` for an unknown part and for ids that are neither strings nor numbers.
 */
export function audienceOf(recipients: Recipients): ResolvedAudience {
  if (isList(recipients)) return audienceOf({ users: recipients, everyone: recipients.includes(EVERYONE) });
  check("the audience", recipients, OBJECT);
  checkOptions(recipients, AUDIENCE);
  const { users, rooms, tags, sockets, everyone } = recipients;
  const audience = { users: idsOf(users), rooms: idsOf(rooms), tags: idsOf(tags), sockets: idsOf(sockets), everyone: false };
  return everyone ? { users: [], rooms: [], tags: [], sockets: [], everyone } : audience;
}

/** Whether the audience addresses no socket. */
export function isEmpty(audience: ResolvedAudience): boolean {
  return !audience.everyone && !hasOtherSets(audience) && audience.users.length === 0;
}

/** Returns the users of `to` that are not in `except`, each once; undefined if either has parts other than users. */
export function usersOf(to: ResolvedAudience, except: ResolvedAudience): string[] | undefined {
  if ([to, except].some((audience) => audience.everyone || hasOtherSets(audience))) return undefined;
  return difference(to.users, except.users);
}

/** Returns the audience in the original protocol. Throws `UnsupportedError` if it has parts other than users and everyone. */
export function legacyAudience(to: ResolvedAudience, except: ResolvedAudience): LegacyAudience {
  if (hasOtherSets(to) || hasOtherSets(except)) {
    throw new UnsupportedError("cannot address rooms, tags or sockets through Redis; pass the address of the HTTP API instead");
  }
  if (except.everyone) return { recipients: [] };
  if (!to.everyone) return { recipients: difference(to.users, except.users) };
  return { recipients: [EVERYONE], excluding: except.users.length ? except.users : undefined };
}

function difference(users: readonly string[], except: readonly string[]): string[] {
  const left = new Set(users);
  for (const user of except) left.delete(user);
  return [...left];
}

function hasOtherSets({ rooms, tags, sockets }: ResolvedAudience): boolean {
  return rooms.length + tags.length + sockets.length > 0;
}

function isList(recipients: Recipients): recipients is readonly string[] {
  return Array.isArray(recipients);
}

/** Applications may use numbers as ids; on the wire they are strings. */
function idsOf(given: readonly unknown[] | undefined): string[] {
  // Null counts as absent.
  const ids = given ?? [];
  for (const id of ids) check("an id of the audience", id, ID);
  return ids.map(String);
}
