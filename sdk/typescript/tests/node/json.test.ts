/**
 * Data that JSON cannot represent is rejected with its path, and what JSON does represent arrives unchanged.
 */

import { createContext, runInContext } from "node:vm";
import { describe, expect, test } from "vitest";

import { encode } from "../../src/core/json.js";
import { Message } from "../../src/mesa/index.js";

const SPARSE = [1, , 3];

class Point {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}
}

class Money {
  readonly #cents = 7;
  toJSON(): object {
    return { cents: this.#cents };
  }
}

/** An object of another realm, as from an iframe. */
const foreign = (code: string) => runInContext(code, createContext()) as unknown;

/** What JSON cannot represent, with the description in the error. */
const UNFAITHFUL: [name: string, value: unknown, described: string][] = [
  ["an Error", new TypeError("no"), "[object Error]"],
  ["a Map", new Map([[1, 2]]), "[object Map]"],
  ["a Set", new Set([1]), "[object Set]"],
  ["a WeakMap", new WeakMap(), "[object WeakMap]"],
  ["a WeakSet", new WeakSet(), "[object WeakSet]"],
  ["a WeakRef", new WeakRef({}), "[object WeakRef]"],
  ["a promise", Promise.resolve(1), "[object Promise]"],
  ["a regular expression", /x/g, "[object RegExp]"],
  ["an ArrayBuffer", new ArrayBuffer(2), "[object ArrayBuffer]"],
  ["a SharedArrayBuffer", new SharedArrayBuffer(2), "[object SharedArrayBuffer]"],
  ["a DataView", new DataView(new ArrayBuffer(2)), "[object DataView]"],
  ["a Uint8Array", new Uint8Array([1, 2]), "[object Uint8Array]"],
  ["a Float64Array", new Float64Array(1), "[object Float64Array]"],
  ["a Blob", new Blob(["x"]), "[object Blob]"],
  ["query parameters", new URLSearchParams("a=1"), "[object URLSearchParams]"],
  ["headers", new Headers(), "[object Headers]"],
  ["a generator", (function* () {})(), "[object Generator]"],
  ["an iterator", [1].values(), "[object Array Iterator]"],
  ["an Intl object", new Intl.NumberFormat(), "[object Intl.NumberFormat]"],
  ["a boxed number", new Number(5), "[object Number]"],
  ["a boxed string", new String("x"), "[object String]"],
  ["a boxed boolean", new Boolean(false), "[object Boolean]"],
  ["a boxed symbol", Object(Symbol("x")), "[object Symbol]"],
  ["a function", () => 1, "[object Function]"],
  ["an async function", async () => 1, "[object AsyncFunction]"],
  ["a class", Point, "[object Function]"],
  ["a symbol", Symbol("x"), "Symbol(x)"],
  ["a bigint", 1n, "1n"],
  ["NaN", NaN, "NaN"],
  ["Infinity", -Infinity, "-Infinity"],
  ["an invalid date", new Date(NaN), "Invalid Date"],
  ["a toJSON that returns nothing", { toJSON() {} }, "[object Object]"],
  ["a toJSON that returns NaN", { toJSON: () => NaN }, "[object Object]"],
  ["arguments", (function (..._: unknown[]) { return arguments; })(1), "[object Arguments]"],
  ["a Map of another realm", foreign("new Map()"), "[object Map]"],
  ["an Error of another realm", foreign("new Error('x')"), "[object Error]"],
];

describe("JSON", () => {
  test.each(UNFAITHFUL)("cannot represent %s, at any depth", (_, value, described) => {
    const error = (path: string) => expect.objectContaining({
      code: "bad_data", message: `JSON cannot represent the data: ${path} is ${described}`,
    }) as Error;
    expect(() => encode({ data: value })).toThrow(error("data"));
    expect(() => encode({ data: [0, value] })).toThrow(error("data.1"));
    expect(() => encode({ data: { list: [{}, { "a name": { at: value } }] } })).toThrow(error("data.list.1.a name.at"));
    expect(() => encode({ shared: {}, data: { toJSON: () => ({ inner: value }) } })).toThrow(error("data.inner"));
  });

  test.each([
    ["undefined", [1, undefined]],
    ["a hole", SPARSE],
  ])("cannot represent %s in an array", (_, data) => {
    expect(() => encode({ data })).toThrow("JSON cannot represent the data: data.1 is undefined");
  });

  test("cannot represent a value of the wrong kind as the whole", () => {
    expect(() => encode(new Map() as never)).toThrow("JSON cannot represent the data: the value is [object Map]");
  });

  test("names the last path of an object that occurs several times", () => {
    const shared = { good: 1 };
    const later = { bad: NaN };
    expect(() => encode({ a: shared, b: [shared, later], c: later })).toThrow("JSON cannot represent the data: b.1.bad is NaN");
  });

  test("cannot represent circles, too deep values, and a toJSON that throws", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = { circle };
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    const broken = { toJSON: () => { throw new Error("broken"); } };
    for (const [data, reason] of [[circle, "circular"], [deep, "call stack"], [broken, "broken"]] as const) {
      const error = expect.objectContaining({ code: "bad_data", message: expect.stringContaining(reason) as string });
      expect(() => encode({ data })).toThrow(error as Error);
    }
  });

  test.each([
    ["absent members", { a: undefined, b: null }, '{"b":null}'],
    ["arrays and objects of another realm", foreign("({ a: [1, { b: 2 }] })"), '{"a":[1,{"b":2}]}'],
    ["objects without a prototype", Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ["instances of a class", new Point(1, 2), '{"x":1,"y":2}'],
    ["instances with toJSON", [new Money(), new Date(0), new URL("ws://x/y")], '[{"cents":7},"1970-01-01T00:00:00.000Z","ws://x/y"]'],
    ["a Buffer, which has toJSON", Buffer.from("a"), '{"type":"Buffer","data":[97]}'],
    ["proxies", new Proxy({ a: new Proxy([1], {}) }, {}), '{"a":[1]}'],
    ["the names of built-in properties", JSON.parse('{"__proto__":{"a":1},"constructor":2,"toString":3}'), '{"__proto__":{"a":1},"constructor":2,"toString":3}'],
    ["strings, numbers and booleans", ["", "ä\ud800", 0, -1.5e300, true, false, null], '["","ä\\ud800",0,-1.5e+300,true,false,null]'],
    // Equal to 0, and a common result of rounding.
    ["minus zero, as zero", [-0], "[0]"],
  ])("represents %s", (_, data, text) => {
    expect(encode({ data } as never)).toBe(`{"data":${text}}`);
  });

  test("has an error for each part of a Mesa message", () => {
    expect(() => new Message(0, { at: [new Map()] }, "X").serialize()).toThrow("JSON cannot represent the data: d.at.0 is [object Map]");
  });
});
