/**
 * Audiences: the recipients of a message, as user ids or as any union of the sets that a server knows.
 */

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

/** The user id that addresses everyone. */
const EVERYONE = "*";

/** Fills in absent parts with empty ones. `everyone` includes all other parts, so they are dropped. */
export function audienceOf(recipients: Recipients): ResolvedAudience {
  if (isList(recipients)) return audienceOf({ users: recipients, everyone: recipients.includes(EVERYONE) });
  const { users = [], rooms = [], tags = [], sockets = [], everyone } = recipients;
  if (everyone) return { users: [], rooms: [], tags: [], sockets: [], everyone: true };
  // Applications may use numbers as ids; on the wire they are strings.
  return { users: users.map(String), rooms, tags, sockets, everyone: false };
}

/** Whether the audience addresses no socket. */
export function isEmpty(audience: ResolvedAudience): boolean {
  return !audience.everyone && !hasOtherSets(audience) && audience.users.length === 0;
}

/** Returns the users of `to` that are not in `except`, each once; undefined if either has parts other than users. */
export function usersOf(to: ResolvedAudience, except: ResolvedAudience): string[] | undefined {
  if ([to, except].some((audience) => audience.everyone || hasOtherSets(audience))) return undefined;
  const users = new Set(to.users);
  for (const user of except.users) users.delete(user);
  return [...users];
}

/** Returns the recipient list of the original protocol. Throws `UnsupportedError` if it cannot express the audience. */
export function legacyRecipients(to: ResolvedAudience, except: ResolvedAudience): readonly string[] {
  if (to.everyone && isEmpty(except)) return [EVERYONE];
  const users = usersOf(to, except);
  if (users) return users;
  const unsupported = to.everyone ? "everyone except some" : "rooms, tags or sockets";
  throw new UnsupportedError(`cannot address ${unsupported} through Redis; pass the address of the HTTP API instead`);
}

function hasOtherSets({ rooms, tags, sockets }: ResolvedAudience): boolean {
  return rooms.length + tags.length + sockets.length > 0;
}

function isList(recipients: Recipients): recipients is readonly string[] {
  return Array.isArray(recipients);
}
