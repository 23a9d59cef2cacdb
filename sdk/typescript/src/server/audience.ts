/**
 * Who hears something: a list of users as Mesa has it, or any of the sets a server knows, added up.
 */

import { UnsupportedError } from "./errors.js";

/** Sets of sockets, added up. */
export interface Audience {
  /** All sockets of these users. */
  readonly users?: readonly string[] | undefined;
  /** All sockets in these rooms, with or without `#`. */
  readonly rooms?: readonly string[] | undefined;
  /** All sockets with these tags, with or without `*`. */
  readonly tags?: readonly string[] | undefined;
  /** These sockets. */
  readonly sockets?: readonly string[] | undefined;
  /** Every socket of the namespace. */
  readonly everyone?: boolean | undefined;
}

/** Users by their ids, `["*"]` for everyone, or an audience. */
export type Recipients = readonly string[] | Audience;

/** An audience in which nothing is left out. */
export type ResolvedAudience = { readonly [Part in keyof Audience]-?: NonNullable<Audience[Part]> };

/** The id that stands for everyone. */
const EVERYONE = "*";

/** Everything that was left out is empty; beside everyone nobody else matters. */
export function audienceOf(recipients: Recipients): ResolvedAudience {
  if (isList(recipients)) return audienceOf({ users: recipients, everyone: recipients.includes(EVERYONE) });
  const { users = [], rooms = [], tags = [], sockets = [], everyone } = recipients;
  if (everyone) return { users: [], rooms: [], tags: [], sockets: [], everyone: true };
  // Programs have numbers for ids; on the wire they are texts.
  return { users: users.map(String), rooms, tags, sockets, everyone: false };
}

/** Whether nobody can be in it. */
export function isEmpty(audience: ResolvedAudience): boolean {
  return !audience.everyone && !namesSets(audience) && audience.users.length === 0;
}

/** The users that are in one audience of users and not in the other, each once; undefined if one names others. */
export function usersOf(to: ResolvedAudience, except: ResolvedAudience): string[] | undefined {
  if ([to, except].some((audience) => audience.everyone || namesSets(audience))) return undefined;
  const left = new Set(to.users);
  for (const user of except.users) left.delete(user);
  return [...left];
}

/** As the original protocol names them. Throws `UnsupportedError` for what it has no word for. */
export function legacyRecipients(to: ResolvedAudience, except: ResolvedAudience): readonly string[] {
  if (to.everyone && isEmpty(except)) return [EVERYONE];
  const users = usersOf(to, except);
  if (users) return users;
  const what = to.everyone ? "everyone except some" : "rooms, tags or sockets";
  throw new UnsupportedError(`${what} cannot be named through Redis; dispatch by HTTP`);
}

function namesSets({ rooms, tags, sockets }: ResolvedAudience): boolean {
  return rooms.length + tags.length + sockets.length > 0;
}

function isList(recipients: Recipients): recipients is readonly string[] {
  return Array.isArray(recipients);
}
