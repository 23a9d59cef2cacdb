/**
 * The hooks in StrictMode, in jsdom and in server rendering, with a fake server. Runs once per supported
 * version of React.
 */

// @vitest-environment jsdom

import { act, createElement as h, StrictMode, useEffect, useState, version, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT } from "../../src/dispatch/index.js";
import {
  SwitchboardProvider,
  useClient,
  useConnectedClients,
  useConnectionState,
  useEvent,
  useHistory,
  usePresence,
  useRecovery,
  useRequest,
} from "../../src/react/index.js";
import { FakeServer } from "../support/fakeServer.js";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

let server: FakeServer;
let root: Root;
let page: HTMLElement;

beforeEach(async () => {
  server = await FakeServer.start();
  page = document.createElement("div");
  root = createRoot(page);
});
afterEach(async () => {
  await act(() => root.unmount());
  await server.stop();
});

const options = { WebSocket, reconnect: true, reconnectDelay: 5 };
const emitClient = () => new EmitClient(server.url, options);

function State(): ReactNode {
  return h("output", null, useConnectionState());
}

function show(client: Parameters<typeof SwitchboardProvider>[0]["client"], ...children: ReactNode[]) {
  return act(async () => root.render(h(StrictMode, null, h(SwitchboardProvider, { client }, ...children))));
}

/** Waits, inside `act`, until the page has the expected text. */
async function says(text: string): Promise<void> {
  while (page.textContent !== text) await act(() => new Promise((resolve) => setImmediate(resolve)));
}

test("the version of React is the requested one", () => {
  expect(version.split(".")[0]).toBe(process.env["REACT"] ?? "19");
});

describe("a provider", () => {
  test("connects once in StrictMode, and disconnects when it unmounts", async () => {
    await show(emitClient, h(State));
    const peer = await server.sockets.next();
    await says("connected");
    await act(() => root.unmount());
    expect(await peer.closed).toBe(1000);
    expect(server.sockets.pending).toEqual([]);
    root = createRoot(page);
  });

  test("keeps trying if the first attempt fails", async () => {
    const { port } = server;
    await server.stop();
    await show(new EmitClient(`ws://127.0.0.1:${port}`, options), h(State));
    await says("reconnecting");
    server = await FakeServer.start(port);
    await says("connected");
  });

  test("does not connect when rendered on a server", () => {
    const client = emitClient();
    const tree = (inner: ReactNode, of: EmitClient | Dispatch = client) => h(SwitchboardProvider, { client: of }, inner);
    expect(renderToString(tree(h(State)))).toBe("<output>idle</output>");
    const People = () => h("i", null, usePresence().length);
    expect(renderToString(tree(h(People), new Dispatch({ host: server.url })))).toBe("<i>0</i>");
    expect(client.state).toBe("idle");
    expect(() => renderToString(h(State))).toThrow("SwitchboardProvider");
  });
});

/** The answer of a server to a read of a history with three messages, of which `offsets` are in this page. */
const historyOf = (offsets: number[]) => ({
  room: "#chat", epoch: "e", top: 3, first: 1, gap: false,
  messages: offsets.map((offset) => ({ offset, event: "said", data: `m${offset}`, sender: null, time: 0 })),
});

describe("hooks", () => {
  test("useHistory reads the latest messages, older ones, and anew after a gap in the room", async () => {
    let older = () => {};
    function Lines(): ReactNode {
      const { messages, hasOlder, error, loadOlder } = useHistory("chat", { limit: 2 });
      older = () => void loadOlder();
      return h("b", null, `${messages.map(({ data }) => data)} ${hasOlder} ${error?.code}`);
    }
    await show(emitClient, h(Lines));
    const peer = await server.sockets.next();
    const answer = async (offsets: number[]) => {
      const { event, data, ackId } = JSON.parse(await peer.frames.next());
      expect(event).toBe("@history");
      peer.send({ type: "ack", ackId, data: historyOf(offsets) });
      return data;
    };
    expect(await answer([2, 3])).toEqual({ room: "chat", limit: 2 });
    await says("m2,m3 true undefined");
    await act(async () => older());
    expect(await answer([1])).toEqual({ room: "chat", limit: 2, before: { epoch: "e", offset: 2 } });
    await says("m1,m2,m3 false undefined");
    peer.send({ event: "@gap", data: { room: "#other", lost: 1 } });
    peer.send({ event: "@gap", data: { room: "#chat", lost: 1 } });
    expect(await answer([3])).toEqual({ room: "chat", limit: 2 });
    await says("m3 true undefined");
    await act(async () => older());
    const { ackId } = JSON.parse(await peer.frames.next());
    peer.send({ type: "ack", ackId, data: { error: "no", code: "forbidden" } });
    await says("m3 true refused");
    expect(peer.frames.pending).toEqual([]);
  });

  test("useRecovery has the outcome of the latest resume and the latest gap", async () => {
    function Missed(): ReactNode {
      const { resumed, recovery, gap } = useRecovery();
      return h("b", null, JSON.stringify([resumed, recovery?.rooms, gap]));
    }
    await show(emitClient, h(Missed));
    const peer = await server.sockets.next();
    await says("[false,null,null]");
    peer.send({ event: "@recovered", data: { rooms: { "#chat": { recovered: true, count: 2 } } } });
    await says('[false,{"#chat":{"recovered":true,"count":2}},null]');
    peer.send({ event: "@gap", data: { lost: 7 } });
    await says('[false,{"#chat":{"recovered":true,"count":2}},{"lost":7}]');
  });

  test("useEvent calls the listener of the latest render, once per event", async () => {
    const calls: string[] = [];
    function Listening(): ReactNode {
      const [count, setCount] = useState(0);
      useEvent<number>("x", (data) => {
        calls.push(`${count}:${data}`);
        setCount(count + data);
      });
      return h("b", null, count);
    }
    await show(emitClient, h(Listening));
    const peer = await server.sockets.next();
    await says("0");
    peer.send({ event: "x", data: 2 });
    await says("2");
    peer.send({ event: "x", data: 3 });
    await says("5");
    expect(calls).toEqual(["0:2", "2:3"]);
  });

  test("useRequest returns the reply or the error, and aborts when the component unmounts", async () => {
    let send: ((data?: unknown) => Promise<unknown>) | undefined;
    function Asking(): ReactNode {
      const request = useRequest<{ n: number }>("/n");
      useEffect(() => {
        send = request.send;
      });
      return h("b", null, request.pending ? "…" : (request.data?.n ?? (request.error as { code: string } | undefined)?.code));
    }
    await show(emitClient, h(State), h(Asking));
    const peer = await server.sockets.next();
    await says("connected");
    const sent = (n: number) => {
      let reply: Promise<unknown> | undefined;
      act(() => void (reply = send?.(n).catch((error: { code: string }) => error.code)));
      return reply;
    };
    const first = sent(1);
    await says("connected…");
    const second = sent(2);
    expect(await first).toBe("aborted");
    await peer.next();
    const { ackId } = await peer.next();
    peer.send({ type: "ack", ackId, data: { n: 7 } });
    await says("connected7");
    expect(await second).toEqual({ n: 7 });
    const mistyped = sent(3);
    const { ackId: unhandled } = await peer.next();
    await act(async () => {
      peer.send({ type: "ack", ackId: unhandled, data: { error: "No handler for: /n" } });
      expect(await mistyped).toBe("no_handler");
    });
    const fourth = sent(4);
    await act(() => root.render(null));
    expect(await fourth).toBe("aborted");
  });

  test("useConnectedClients returns the current member list of the shard", async () => {
    const dispatch = new Dispatch({ projectId: "p", host: server.url, options });
    function People(): ReactNode {
      return useConnectedClients().map(({ clientId }) => h("i", { key: clientId }, clientId));
    }
    function Who(): ReactNode {
      return useClient<Dispatch>().state;
    }
    await show(dispatch, h(People), h(Who));
    const peer = await server.sockets.next();
    peer.sendConnected();
    const entry = { userInfo: {}, lastPing: 1 };
    peer.send({
      eventName: "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED",
      payload: { version: 1, connectedClients: { ann: entry } },
    });
    peer.send({
      eventName: "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES",
      payload: { version: 2, joined: { ben: entry }, updated: {}, left: [] },
    });
    while (!page.textContent?.startsWith("annben")) await act(() => new Promise((resolve) => setImmediate(resolve)));
  });

  test("useEvent calls a listener that is mounted late with the current member list", async () => {
    const dispatch = new Dispatch({ projectId: "p", host: server.url, options });
    function Late(): ReactNode {
      const [ids, setIds] = useState("");
      useEvent(DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED, ({ connectedClients }) => setIds(Object.keys(connectedClients).join()));
      return h("b", null, ids);
    }
    await show(dispatch, h(State));
    const peer = await server.sockets.next();
    peer.sendConnected();
    peer.send({
      eventName: "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED",
      payload: { version: 1, connectedClients: { ann: { userInfo: {}, lastPing: 1 } } },
    });
    while (!dispatch.connectedClients.length) await act(() => new Promise((resolve) => setImmediate(resolve)));
    await show(dispatch, h(State), h(Late));
    await says("connectedann");
  });
});
