/**
 * Mistyped options and arguments of the wrong type are errors of the call that has them.
 */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch } from "../../src/dispatch/index.js";
import { Client, Message } from "../../src/mesa/index.js";
import { Dispatcher, Portal, signToken } from "../../src/server/index.js";
import { rejectionCode } from "../support/errorCode.js";
import { FakeServer } from "../support/fakeServer.js";

/** Arguments that the compiler would reject. */
const wrong = (value: unknown) => value as never;

const badOption = (message: string | RegExp) =>
  expect.objectContaining({
    name: "BadOptionError", code: "bad_option",
    message: (typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message)) as string,
  }) as Error;

const CLIENTS: [name: string, create: (options: never) => unknown][] = [
  ["EmitClient", (options) => new EmitClient("ws://localhost:1", options)],
  ["Dispatch", (options) => new Dispatch({ host: "localhost:1", options })],
  ["Client", (options) => new Client("ws://localhost:1", { autoConnect: false, ...(options as object) })],
];

describe.each(CLIENTS)("%s", (_, create) => {
  test.each([
    [{ reConnect: true }, "there is no option reConnect; the options are reconnect, reconnectDelay"],
    [{ constructor: 1 }, "there is no option constructor"],
    [JSON.parse('{"__proto__":1}'), "there is no option __proto__"],
    [{ reconnect: "yes" }, `reconnect is "yes"; expected true or false`],
    [{ reconnectDelay: "500" }, `reconnectDelay is "500"; expected a number of milliseconds, 0 or more`],
    [{ maxRetries: -1 }, "maxRetries is -1; expected a number, 0 or more"],
    [{ watchdogInterval: NaN }, "watchdogInterval is NaN; expected a number of milliseconds, 0 or more"],
    [{ getToken: "token" }, `getToken is "token"; expected a function`],
    [{ shouldReconnect: true }, "shouldReconnect is true; expected a function"],
    [{ WebSocket: {} }, "WebSocket is [object Object]; expected a function"],
  ])("rejects %j", (options, message) => {
    expect(() => create(wrong(options))).toThrow(badOption(message));
  });

  test("accepts undefined and null as absent, and limits that are 0 or infinite", () => {
    create(wrong({ reconnect: undefined, reconnectDelay: null, getToken: null }));
    create(wrong({ connectTimeout: 0, closeTimeout: Infinity, maxRetries: 0, queueBytesMax: Infinity }));
  });
});

test("options of one client only are rejected by the others", () => {
  expect(() => new EmitClient("ws://x", wrong({ shardName: "s" }))).toThrow(badOption("there is no option shardName"));
  expect(() => new EmitClient("ws://x", wrong({ tokenParameter: [] }))).toThrow(badOption("tokenParameter is [object Array]; expected a string"));
  expect(() => new EmitClient("ws://x", wrong({ schemas: true }))).toThrow(badOption("schemas is true; expected an object"));
  expect(() => new Dispatch(wrong({ projectID: "p" }))).toThrow(badOption("there is no option projectID"));
  expect(() => new Dispatch(wrong({ projectId: 7 }))).toThrow(badOption("projectId is 7; expected a string"));
  expect(() => new Dispatch({ options: wrong({ maxConnectionsPerShard: true }) }))
    .toThrow(badOption("maxConnectionsPerShard is true; expected a whole number from 1 to 10,000"));
  for (const seats of [0, -1, 1.5, NaN, Infinity, 10_001, "0", "four", "4 ", "1e3", " ", [4]]) {
    expect(() => new Dispatch({ options: wrong({ maxConnectionsPerShard: seats }) })).toThrow(badOption("expected a whole number from 1 to 10,000"));
  }
  expect(() => new EmitClient("ws://x", wrong({ tokenParameter: "" }))).toThrow(badOption(`tokenParameter is ""; expected a string that is not empty`));
  new Dispatch({ maxConnectionsPerShard: 10_000 });
  expect(() => new Client("ws://x", wrong({ autoconnect: false }))).toThrow(badOption("there is no option autoconnect; the options are"));
  // An option of original backends.
  new Dispatch({ options: { projectToken: "secret", maxConnectionsPerShard: "25" } });
});

/** Every option of every client, with values that it must refuse. */
const WRONG: [name: string, create: (options: object) => unknown, values: Record<string, unknown[]>][] = (() => {
  const [notNumber, notBoolean, notText, notFunction] = [["1", true, {}, NaN, -1], ["yes", 0, {}], [7, {}, true], ["f", {}, true]];
  const common = {
    reconnect: notBoolean, reconnectDelay: notNumber, maxReconnectDelay: notNumber, maxRetries: notNumber, connectTimeout: notNumber,
    closeTimeout: notNumber, watchdogInterval: notNumber, watchdogTimeout: notNumber, queueBytesMax: notNumber,
    getToken: notFunction, shouldReconnect: notFunction, WebSocket: notFunction,
  };
  return [
    ["EmitClient", (options) => new EmitClient("ws://localhost:1", wrong(options)), {
      ...common, requestTimeout: notNumber, messageBytesMax: notNumber, tokenParameter: [...notText, ""], resume: notBoolean, schemas: ["x", 1, true],
    }],
    ["Dispatch", (options) => new Dispatch({ host: "localhost:1", options: wrong(options) }), {
      ...common, authorization: notText, shardName: notText, maxConnectionsPerShard: [true, {}, 0, "0", 10_001], tokenInAddress: notBoolean,
      resume: notBoolean, projectToken: notText,
    }],
    ["Client", (options) => new Client("ws://localhost:1", { autoConnect: false, ...options }), {
      ...common, authorization: notText, autoConnect: notBoolean, shouldSync: notBoolean,
    }],
    ["Dispatcher", (options) => new Dispatcher("http://127.0.0.1:1", wrong({ key: "k", ...options })), {
      namespace: notText, sync: [true, "x", 1], key: notText, maxRetries: notNumber, timeout: notNumber,
    }],
    ["Portal", (options) => new Portal("redis://127.0.0.1:1", wrong(options)), {
      namespace: notText, reportAllEvents: notBoolean, verbose: notBoolean, leaveOnSignals: notBoolean,
    }],
  ];
})();

test.each(WRONG)("%s refuses a wrong value of each of its options, and names the option", (_, create, values) => {
  // The error for an unknown option lists all, so no option is without a row here.
  let all = "";
  try {
    create({ "?": 1 });
  } catch (error) {
    all = (error as Error).message;
  }
  const names = all.replace(/.*the options are /, "").split(", ").filter((name) => !/^(projectId|host)$/.test(name));
  expect(Object.keys(values).sort()).toEqual(names.sort());
  for (const [name, wrongValues] of Object.entries(values)) {
    for (const value of wrongValues) expect(() => create({ [name]: value }), name).toThrow(badOption(`${name} is `));
  }
});

test("schemas in a place where none would be used are rejected", () => {
  const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };
  const create = (schemas: unknown) => new EmitClient("ws://x", wrong({ schemas }));
  create({ emits: { a: schema }, events: { a: schema }, requests: { a: { data: schema }, b: { reply: schema }, c: {} }, serverRequests: {} });
  create({ events: undefined });
  expect(() => create({ event: {} })).toThrow(badOption("there is no option event; the options are emits, requests, events, serverRequests"));
  expect(() => create({ events: schema["~standard"] })).toThrow(badOption(`schemas.events["version"] is 1; expected a schema`));
  expect(() => create({ events: { said: { data: schema } } })).toThrow(badOption(`schemas.events["said"] is [object Object]; expected a schema of a library with Standard Schema`));
  const expected = "expected an object with the schemas `data` and `reply`";
  for (const part of ["requests", "serverRequests"]) {
    for (const pair of [schema, "x", null, { request: schema }, { data: {} }, { reply: "x" }]) {
      expect(() => create({ [part]: { "/join": pair } })).toThrow(badOption(expected));
    }
  }
});

test("options of a Dispatch may also stand beside `options`, and what is no object is rejected", () => {
  new Dispatch({ projectId: "p", WebSocket, reconnect: false, options: { shardName: "s" } });
  expect(() => new Dispatch(wrong("chess"))).toThrow(badOption(`the argument of Dispatch is "chess"; expected an object`));
  expect(() => new Dispatch({ options: wrong("s") })).toThrow(badOption(`the argument for options is "s"; expected an object`));
  expect(() => new EmitClient("ws://x", wrong("token"))).toThrow(badOption(`the argument for options is "token"; expected an object`));
});

test("an unknown option is rejected with the list of all", () => {
  expect(() => new EmitClient("ws://x", wrong({ verbose: true }))).toThrow(badOption(/the options are reconnect, .+, schemas$/));
});

test("a secret of the wrong type is not repeated in the error", () => {
  const authorization = { secret: "s3cr3t" };
  expect(() => new Client("ws://x", wrong({ authorization }))).toThrow(badOption("authorization is object; expected a string"));
});

describe("a connected client", () => {
  let server: FakeServer;
  beforeEach(async () => {
    server = await FakeServer.start();
  });
  afterEach(() => server.stop());

  test("rejects arguments of the wrong type, and sends nothing for them", async () => {
    const client = await EmitClient.connect(server.url, { WebSocket });
    const peer = await server.sockets.next();
    for (const name of [undefined, null, 5, {}, ["x"], () => {}]) {
      expect(() => client.emit(wrong(name)), String(name)).toThrow(badOption(/^the event name is .+; expected a string$/));
      expect(() => client.ns("/a").emit(wrong(name)), String(name)).toThrow(badOption(/^the event name is .+; expected a string$/));
      await expect(client.request(wrong(name))).rejects.toEqual(badOption(/^the event name is .+; expected a string$/));
      expect(() => client.on(wrong(name), () => {})).toThrow(badOption(/^the event name is .+; expected a string$/));
      expect(() => client.handle(wrong(name), () => {})).toThrow(badOption(/^the event name is .+; expected a string$/));
      expect(() => client.ns(wrong(name))).toThrow(badOption(/^the prefix is .+; expected a string$/));
    }
    expect(() => client.on("x", wrong("listener"))).toThrow(badOption(`the listener of x is "listener"; expected a function`));
    expect(() => client.handle("x", wrong({}))).toThrow(badOption("the handler of x is [object Object]; expected a function"));
    expect(() => client.emit("x", {}, wrong({ volatil: true }))).toThrow(badOption("there is no option volatil; the options are volatile"));
    expect(() => client.emit("x", {}, wrong({ volatile: 1 }))).toThrow(badOption("volatile is 1; expected true or false"));
    await expect(client.request("x", {}, wrong({ timeOut: 5 }))).rejects.toEqual(badOption("there is no option timeOut; the options are signal, timeout"));
    await expect(client.request("x", {}, wrong({ timeout: "5" }))).rejects.toEqual(badOption(`timeout is "5"; expected a number of milliseconds, 0 or more`));
    await expect(client.open(wrong({ reconnect: true }))).rejects.toEqual(badOption("there is no option reconnect; the options are signal, timeout, retry"));
    expect(() => client.close(wrong({ timeOut: 5 }))).toThrow(badOption("there is no option timeOut; the options are signal, timeout"));
    expect(client.connected).toBe(true);
    client.emit("end");
    expect(await peer.next()).toEqual({ event: "end" });
    await client.close();
  });

  test("rejects the same on a shard", async () => {
    const dispatch = new Dispatch({ host: server.url, options: { WebSocket } });
    await expect(dispatch.connect(wrong({ shardname: "s" }))).rejects.toEqual(badOption("there is no option shardname"));
    await expect(dispatch.connect(wrong({ timeout: -1 }))).rejects.toEqual(badOption("timeout is -1; expected a number of milliseconds, 0 or more"));
    const connected = dispatch.connect({ timeout: 60_000, shardName: "s" });
    const peer = await server.sockets.next();
    peer.sendConnected();
    await connected;
    expect(() => dispatch.emitEvent(wrong(undefined))).toThrow(badOption(/^the event name is .+; expected a string$/));
    for (const recipients of [7, [7], ["a", null], {}, [["a"]]]) {
      expect(() => dispatch.emitEvent("x", {}, wrong(recipients))).toThrow(badOption(/^a recipient is .+; expected a string$/));
    }
    expect(() => dispatch.identify(wrong(undefined))).toThrow(badOption("the token is undefined; expected a string"));
    expect(() => dispatch.setProjectId(wrong({}))).toThrow(badOption("projectId is [object Object]; expected a string"));
    expect(() => dispatch.onConnectedClientsChanged(wrong(undefined))).toThrow(badOption("the callback is undefined; expected a function"));
    expect(await rejectionCode(dispatch.info(wrong({ Timeout: 1 })))).toBe("bad_option");
    dispatch.emitEvent("end", undefined, null as never);
    expect(await peer.next()).toEqual({ eventName: "end", recipients: null });
    await dispatch.disconnect();
  });

  test("rejects the same in the Mesa protocol", async () => {
    const client = new Client(server.url, { WebSocket, autoConnect: false });
    const connected = client.connect();
    const peer = await server.sockets.next();
    peer.send({ op: 10, d: {} });
    await connected;
    expect(() => client.send(wrong("0"), {}, "X")).toThrow(badOption(/^opcode is .+; expected a whole number$/));
    expect(() => client.send(wrong({ op: 0 }))).toThrow(badOption(/^opcode is .+; expected a whole number$/));
    expect(() => client.send(NaN)).toThrow(badOption(/^opcode is .+; expected a whole number$/));
    expect(() => client.send(0, {}, wrong(true))).toThrow(badOption("type is true; expected a string"));
    expect(() => client.send(new Message(0, {}, "X", wrong({ sink: true })))).toThrow(badOption("there is no option sink"));
    await expect(client.authenticate(wrong("token"))).rejects.toEqual(badOption(`the data is "token"; expected an object`));
    await expect(client.authenticate({}, wrong({ shouldsync: true }))).rejects.toEqual(badOption("there is no option shouldsync"));
    client.send(0, {}, "END");
    expect(await peer.next()).toMatchObject({ t: "END" });
    await client.disconnect();
  });

  test("ends an attempt if `getToken` returns no string, and connects without a token if it returns nothing", async () => {
    const options = { WebSocket, getToken: wrong(() => 5) };
    await expect(EmitClient.connect(server.url, options)).rejects.toMatchObject({
      code: "token_failed", cause: badOption("the result of getToken is number; expected a string"),
    });
    const client = await EmitClient.connect(server.url, { WebSocket, getToken: wrong(() => null) });
    expect((await server.sockets.next()).url).not.toContain("token");
    await client.close();
  });
});

describe("on a backend", () => {
  const REDIS = "redis://127.0.0.1:1";
  const NEWS = new Message(0, {}, "NEWS");

  test.each([
    [{ nameSpace: "api" }, "there is no option nameSpace"],
    [{ namespace: 7 }, "namespace is 7; expected a string"],
    [{ sync: true }, "sync is true; expected an object"],
    [{ sync: { enable: true } }, "there is no option enable; the options are enabled"],
    [{ sync: { enabled: "yes" } }, `enabled is "yes"; expected true or false`],
    [{ timeout: "5s" }, `timeout is "5s"; expected a number of milliseconds, 0 or more`],
    [{ maxRetries: -1 }, "maxRetries is -1; expected a number, 0 or more"],
  ])("a Dispatcher rejects %j", (options, message) => {
    expect(() => new Dispatcher(REDIS, wrong(options))).toThrow(badOption(message));
  });

  test.each(["http://user@host/", "http://:password@host/", "http://host/?key=k", "http://host/#k"])(
    "a Dispatcher rejects the address %s, because only its path would be used",
    (address) => expect(() => new Dispatcher(address, { key: "k" })).toThrow(badOption("must be followed by nothing but a path")),
  );

  test.each([
    ["7", `the audience is "7"; expected an object`],
    [undefined, "the audience is undefined; expected an object"],
    [[undefined], "an id of the audience is undefined; expected a string or a number"],
    [[{ id: "7" }], "an id of the audience is [object Object]; expected a string or a number"],
    [{ user: ["7"] }, "there is no option user; the options are users, rooms"],
    [{ users: "7" }, `users is "7"; expected an array of ids`],
    [{ users: {} }, "users is [object Object]; expected an array of ids"],
    [{ everyone: "yes" }, `everyone is "yes"; expected true or false`],
  ])("a Dispatcher rejects the audience %j", async (audience, message) => {
    const dispatcher = new Dispatcher(REDIS);
    await expect(dispatcher.disconnect(wrong(audience))).rejects.toEqual(badOption(message));
    await expect(dispatcher.dispatch(NEWS, ["1"], wrong(audience ?? null))).rejects.toThrow();
    await dispatcher.close();
  });

  test("a Dispatcher rejects what is no message, and unknown options of a call", async () => {
    const dispatcher = new Dispatcher(REDIS);
    expect(new Message(-1, {}).serialize()).toBe('{"op":-1,"d":{}}');
    for (const content of [undefined, null, "NEWS", { op: 0, d: {} }]) {
      await expect(dispatcher.dispatch(wrong(content), ["1"])).rejects.toEqual(badOption(/^the content is .+; expected a Message or a DispatchEvent$/));
    }
    await expect(dispatcher.dispatch(NEWS, ["1"], [], wrong({ idempotencykey: "x" }))).rejects.toEqual(badOption("there is no option"));
    await expect(dispatcher.disconnect(["1"], [], wrong({ code: "1000" }))).rejects.toEqual(badOption(`code is "1000"; expected a number, 0 or more`));
    const api = new Dispatcher("http://127.0.0.1:1", { key: "ключ" });
    await expect(api.dispatch(NEWS, ["1"])).rejects.toEqual(badOption("`key` and `idempotencyKey`"));
    await Promise.all([dispatcher.close(), api.close()]);
  });

  test("a Portal and signToken reject invalid options", () => {
    expect(() => new Portal(REDIS, wrong({ reportAll: true }))).toThrow(badOption("there is no option reportAll"));
    expect(() => new Portal(REDIS, { namespace: "" })).toThrow(badOption("the namespace is empty"));
    expect(() => new Portal(wrong(undefined))).toThrow(badOption("undefined is not an address; use redis://, rediss://, http:// or https://"));
    expect(() => signToken({ id: "7" }, "secret", wrong({ expires: "15m" }))).toThrow(badOption("there is no option expires"));
    expect(() => signToken({ id: "7" }, wrong(undefined))).toThrow(badOption("the secret is undefined; expected a string or a Uint8Array"));
    expect(() => signToken(wrong({}), "secret")).toThrow(badOption("the claim id is undefined; expected a string or a number"));
  });
});
