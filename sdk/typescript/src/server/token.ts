/**
 * Tokens for users, in the format of `switchboard token make`.
 */

import { createHmac } from "node:crypto";

import { check, checkOptions, OBJECT, STRING_OR_NUMBER, type Expectation, type Expectations } from "../core/check.js";
import { BadOptionError } from "../core/errors.js";
import { encode } from "../core/json.js";

/** The claims of a token. */
export interface Claims {
  /** The user id: a string or a number, 1 to 256 bytes. */
  readonly id: string | number;
  /** Any other claim, such as `iss`, `aud` and `nbf`. */
  readonly [claim: string]: unknown;
}

/** Options of `signToken`. */
export interface TokenOptions {
  /** The lifetime: seconds, or a number with s, m, h or d such as `15m`. Default: the token does not expire. */
  readonly expiresIn?: number | string | undefined;
}

const TOKEN_OPTIONS: Expectations<TokenOptions> = { expiresIn: STRING_OR_NUMBER };

const KEY: Expectation = {
  expected: "a string or a Uint8Array",
  allows: (value) => typeof value === "string" || value instanceof Uint8Array,
  isSecret: true,
};

const SECONDS = new Map([["s", 1], ["m", 60], ["h", 3600], ["d", 86_400]]);

/** Shortest secret in bytes, the same as the server's: the length of the hash of HS256 (RFC 7518, 3.2). */
const SECRET_BYTES_MIN = 32;

/**
 * Signs a token (JWT, HS256) with the server's `auth.jwt_secret`. Throws `BadOptionError` for an invalid lifetime, a
 * secret of less than 32 bytes or a missing user id, and `BadDataError` for claims that JSON cannot represent.
 */
export function signToken(claims: Claims, secret: string | Uint8Array, options: TokenOptions = {}): string {
  checkOptions(options, TOKEN_OPTIONS);
  check("the secret", secret, KEY);
  check("the claims", claims, OBJECT);
  check("the claim id", claims.id, STRING_OR_NUMBER);
  const { expiresIn } = options;
  const bytes = Buffer.byteLength(secret);
  if (bytes < SECRET_BYTES_MIN) {
    throw new BadOptionError(`the secret has ${bytes} bytes, and HS256 needs ${SECRET_BYTES_MIN}; pass the server's auth.jwt_secret`);
  }
  const iat = Math.floor(Date.now() / 1000);
  const exp = expiresIn === undefined ? undefined : iat + secondsOf(expiresIn);
  const payload = encode({ ...claims, iat, ...(exp === undefined ? {} : { exp }) });
  const signed = `${base64url(`{"typ":"JWT","alg":"HS256"}`)}.${base64url(payload)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function secondsOf(time: number | string): number {
  const [, count = NaN, unit = ""] = /^(\d+)([smhd])$/.exec(`${time}`) ?? [];
  const seconds = typeof time === "number" ? time : Number(count) * (SECONDS.get(unit) ?? NaN);
  if (!(seconds > 0)) throw new BadOptionError(`${time} is not a lifetime; use seconds such as 900, or 15m`);
  return Math.floor(seconds);
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
