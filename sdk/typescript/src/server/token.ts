/**
 * Tokens for users, as `switchboard token make` signs them.
 */

import { createHmac } from "node:crypto";

import { OptionError } from "../core/errors.js";
import { encode } from "../core/json.js";

/** What a token says. */
export interface Claims {
  /** The user: a text or a number, 1 to 256 bytes. */
  readonly id: string | number;
  /** Whatever else, such as `iss`, `aud` and `nbf`. */
  readonly [claim: string]: unknown;
}

/** How a token is made. */
export interface TokenOptions {
  /** When it ends: seconds, or a number with s, m, h or d such as `15m`. Default never. */
  readonly expiresIn?: number | string | undefined;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * Signs a token (JWT, HS256) with a secret of the server's `auth.jwt_secret`. Throws `OptionError` for a time that
 * is none or an empty secret, and `EncodeError` for claims that JSON cannot hold.
 */
export function signToken(claims: Claims, secret: string | Uint8Array, { expiresIn }: TokenOptions = {}): string {
  if (secret.length === 0) throw new OptionError("the secret is empty");
  const iat = Math.floor(Date.now() / 1000);
  const exp = expiresIn === undefined ? undefined : iat + secondsOf(expiresIn);
  const said = encode({ ...claims, iat, ...(exp === undefined ? {} : { exp }) });
  const signed = `${base64url(`{"typ":"JWT","alg":"HS256"}`)}.${base64url(said)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function secondsOf(time: number | string): number {
  const [, count = NaN, unit = ""] = /^(\d+)([smhd])$/.exec(`${time}`) ?? [];
  const seconds = typeof time === "number" ? time : Number(count) * (SECONDS[unit] ?? NaN);
  if (!(seconds > 0)) throw new OptionError(`${time} is no time; 900 or 15m are`);
  return Math.floor(seconds);
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
