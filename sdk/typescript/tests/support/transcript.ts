/**
 * Parses a transcript of spec/transcripts and resolves its placeholders.
 */

import { expect } from "vitest";

export interface Step {
  readonly client: string;
  readonly sends: boolean;
  /** `open`, `close`, `refused`, `bin`; undefined for a text message. */
  readonly verb: string | undefined;
  readonly text: string;
  readonly line: number;
}

export function stepsOf(transcript: string): Step[] {
  return transcript.split("\n").flatMap((content, index) => {
    const [, client = "", direction, rest = ""] = /^([A-Z])([<>]) ?(.*)$/s.exec(content) ?? [];
    if (!client) return [];
    const [, inBrackets, argument = ""] = /^\[(open|close|refused)(?: (.*))?\]$/s.exec(rest) ?? [];
    const binary = /^\[bin\] (.*)$/s.exec(rest);
    const verb = inBrackets ?? (binary ? "bin" : undefined);
    const text = inBrackets ? argument : (binary?.[1] ?? rest);
    return [{ client, sends: direction === ">", verb, text, line: index + 1 }];
  });
}

/** The placeholders of a transcript and their values. */
export class Placeholders {
  readonly #known = new Map<string, string>();

  /** Replaces the placeholders of a line by their values. */
  resolve(text: string): string {
    return text
      .replace(/<([^<>*]*)\*(\d+)>/g, (_, part: string, count: string) => part.repeat(Number(count)))
      .replace(/<([^<> ]+)>/g, (whole, name: string) => this.#known.get(name) ?? whole);
  }

  /** Fails unless the frame matches the line. */
  match(expected: string, received: string, where: string): void {
    this.#compare(JSON.parse(this.resolve(expected)), JSON.parse(received), where);
  }

  #compare(expected: unknown, received: unknown, where: string): void {
    if (typeof expected === "string" && this.#matchesPlaceholder(expected, received, where)) return;
    if (typeof expected !== "object" || expected === null) {
      return expect(received, where).toEqual(expected);
    }
    expect(typeof received === "object" && received !== null, `${where} is an object or array`).toBe(true);
    expect(Object.keys(received as object).sort(), where).toEqual(Object.keys(expected).sort());
    for (const [name, value] of Object.entries(expected)) {
      this.#compare(value, (received as Record<string, unknown>)[name], `${where}.${name}`);
    }
  }

  #matchesPlaceholder(expected: string, received: unknown, where: string): boolean {
    const name = /^<new (.+)>$/.exec(expected)?.[1];
    if (name) {
      expect(received, where).toEqual(expect.any(String));
      expect([...this.#known.values(), ""], where).not.toContain(received);
      this.#known.set(name, received as string);
    } else if (expected === "<ms>") expect(received, where).toSatisfy((ms) => Number.isInteger(ms) && Number(ms) >= 0);
    else if (expected === "<time>") expect(received, where).toSatisfy((time) => time >= 1e12 && time < 1e13);
    else if (expected !== "<any>") return false;
    return true;
  }
}
