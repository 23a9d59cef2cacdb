/**
 * JSON with colours, as elements. Strings become text nodes, never HTML.
 */

import { make } from "./elements.js";

// A string with the colon that makes it a key, a word, or a number.
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

/** The most characters that are shown of one frame. */
const SHOWN_CHARACTERS_MAX = 20_000;

/** Splits JSON into strings and coloured spans. */
export function coloured(json: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const match of json.matchAll(TOKEN)) {
    const [token, string, colon] = match;
    parts.push(json.slice(end, match.index));
    const kind = colon !== undefined ? "key" : string !== undefined ? "string" : "literal";
    parts.push(make("span", `json-${kind}`, string ?? token), colon ?? "");
    end = match.index + token.length;
  }
  parts.push(json.slice(end));
  return parts;
}

/** JSON on several lines; other text stays as it is. */
export function pretty(text: string, cut: number): string {
  let whole = text;
  try {
    // A cut frame is not valid JSON.
    if (!cut) whole = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON.
  }
  const missing = cut + Math.max(0, whole.length - SHOWN_CHARACTERS_MAX);
  return missing ? `${whole.slice(0, SHOWN_CHARACTERS_MAX)}\n… ${missing} more characters` : whole;
}
