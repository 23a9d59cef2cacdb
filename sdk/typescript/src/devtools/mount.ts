/**
 * A panel that shows the frames of a client, or of all WebSockets of the page, while you develop.
 *
 * @packageDocumentation
 */

import { BOOLEAN, check, checkOptions, FUNCTION, type Expectation, type Expectations } from "../core/check.js";
import type { Connection } from "../core/connection.js";
import type { WebSocketClass } from "../core/options.js";
import { Log, type LineState } from "./log.js";
import { PanelView } from "./panel.js";
import { isRecording, recording } from "./recorder.js";

/** A client of any entry of this package: `EmitClient`, `Dispatch`, or Mesa's `Client`. */
export interface Observable {
  /** Its connection. */
  readonly connection: Pick<Connection, "options" | "state" | "onChange">;
}

/** Options of a panel. */
export interface PanelOptions {
  /** The element that the panel fills. Default: the panel floats in the lower right corner of the page. */
  readonly container?: Element | undefined;
  /** Whether the panel is open at first. Default: true in a container, false otherwise. */
  readonly open?: boolean | undefined;
  /** Called when the panel is opened or closed. */
  readonly onToggle?: ((open: boolean) => void) | undefined;
}

/** A mounted panel. */
export interface Panel {
  /** The element of the panel; its content is in a shadow root. */
  readonly element: HTMLElement;
  /** Whether the panel shows more than its bar. */
  open: boolean;
  /** Removes the panel and stops recording. Connections are not affected. */
  unmount(): void;
}

const CLIENT: Expectation = {
  expected: "an EmitClient, a Dispatch or a Mesa Client",
  allows: (value) => Object(Object(value).connection) === Object(value).connection,
};

const PANEL_OPTIONS: Expectations<PanelOptions> = {
  container: { expected: "an element", allows: (value) => value instanceof Element },
  open: BOOLEAN,
  onToggle: FUNCTION,
};

/**
 * Mounts a panel. With a client it shows the client's connections from the next one on, so call it before the client
 * connects; without one it shows every WebSocket that the page opens afterwards. Throws `BadOptionError`.
 */
export function mount(client?: Observable, options: PanelOptions = {}): Panel {
  if (client !== undefined) check("the client", client, CLIENT);
  checkOptions(options, PANEL_OPTIONS);
  const log = new Log();
  const { container, open = !!container, onToggle } = options;
  const view = new PanelView(log, (isOpen) => onToggle?.(isOpen));
  const stop = client ? observe(client, log) : observePage(log);
  view.open = open;
  const { element } = view;
  if (container) container.append(element);
  else {
    element.dataset["docked"] = "";
    // A script in the head runs before there is a body.
    if (document.body) document.body.append(element);
    else addEventListener("DOMContentLoaded", () => document.body.append(element), { once: true });
  }
  return {
    element,
    get open() {
      return view.open;
    },
    set open(isOpen) {
      view.open = isOpen;
    },
    unmount() {
      stop();
      log.onChange = () => {};
      element.remove();
    },
  };
}

/** Records every WebSocket that the page opens; returns a function that ends this. */
function observePage(log: Log): () => void {
  const original = globalThis.WebSocket;
  const replacement = recording(original as unknown as WebSocketClass, log) as unknown as typeof WebSocket;
  globalThis.WebSocket = replacement;
  return () => {
    // Another library may have replaced it in the meantime.
    if (globalThis.WebSocket === replacement) globalThis.WebSocket = original;
  };
}

/** Records the connections of a client; returns a function that ends this. */
function observe({ connection }: Observable, log: Log): () => void {
  const given = connection.options.WebSocket;
  // A client may replace its options between two connections.
  const install = () => {
    const current = connection.options.WebSocket ?? globalThis.WebSocket;
    if (current && !isRecording(current)) {
      connection.options = { ...connection.options, WebSocket: recording(current as WebSocketClass, log) };
    }
  };
  install();
  const report = (state: LineState, title: string, detail: string) =>
    log.add({ kind: "state", state, line: connection, at: new Date(), title, detail });
  /** The current socket was opened before this panel. */
  let isUnseen = connection.state === "connected";
  if (isUnseen) report("open", "connected before this panel", "its frames appear after the next connect");
  const remove = connection.onChange((change) => {
    install();
    if (isUnseen) report("closed", `closed ${change.code}`, change.reason);
    isUnseen = false;
    // Attempts while the browser is offline do not count, so the number may be 0.
    const title = `attempt ${Math.max(1, change.attempt)} in ${(change.delay / 1000).toFixed(1)} s`;
    if (change.willReconnect) report("waiting", title, change.reason);
  });
  return () => {
    remove();
    connection.options = { ...connection.options, WebSocket: given };
  };
}
