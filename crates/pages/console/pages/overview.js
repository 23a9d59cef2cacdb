// The overview: figures over time, of all nodes or of one.

import { html, useState } from "../lib.js";
import { Chart } from "../chart.js";
import { useFigures } from "../figures.js";
import { bytes, number, seconds } from "../format.js";
import { Choice, Head, Notice, Segments } from "../parts.js";
import { useQuery } from "../query.js";

const perSecond = (value) => `${number(value)}/s`;
const bytesPerSecond = (value) => `${bytes(value)}/s`;
const orNone = (unit) => (value) => (value === null ? "none" : unit(value));

const CLOSE_CODES = { 1000: "1000 normal", 1001: "1001 going away", 1006: "1006 broken", 1008: "1008 policy", 1012: "1012 restart",
  1013: "1013 too slow", "3xxx": "3xxx", "4xxx": "4xxx" };

export function Overview({ title }) {
  const [range, setRange] = useState("hour");
  const [node, setNode] = useState("");
  const nodes = useQuery("nodes", {}, { every: 15_000 });
  const { figures, data, problem } = useFigures(range, node);
  const ids = nodes.data?.nodes.map((entry) => entry.node) ?? [];
  return html`
    <${Head} title=${title}>
      ${ids.length > 1 && html`
        <${Choice} label="Nodes" isInline value=${node} onChange=${setNode}
          options=${[["", `All ${ids.length} nodes`], ...ids.map((id) => [id, `Node ${id}`])]} />`}
      <${Segments} label="Time" value=${range} onChange=${setRange} options=${[["hour", "Hour"], ["day", "Day"]]} />
    <//>
    <${Notice} problem=${problem} />
    ${data?.missing.length > 0 && html`<p class="note" role="status">Without ${data.missing.join(", ")}, which did not answer.</p>`}
    ${data?.degraded && html`<p class="note" role="status">Redis does not answer, so these are the figures of this node.</p>`}
    ${figures?.length === 0 && html`<p class="note" role="status">The first sample is taken within ${range === "hour" ? "5 seconds" : "a minute"}.</p>`}
    ${figures?.length > 0 && html`<${Kpis} figures=${figures} /><${Charts} figures=${figures} />`}`;
}

function Kpis({ figures }) {
  const last = (values) => values.at(-1) ?? 0;
  const p99 = last(figures.quantile(0.99));
  const rows = [
    ["Connections", number(last(figures.total("connections_")))],
    ["Messages in", number(last(figures.total("messages_")) / figures.seconds), "/s"],
    ["Deliveries", number(last(figures.rate("deliveries"))), "/s"],
    ["Undelivered", number(last(figures.total("undelivered_")) / figures.seconds), "/s"],
    ["Outboxes", bytes(last(figures.level("outbox_bytes")))],
    ["Handler p99", p99 ? seconds(p99) : "–"],
  ];
  return html`
    <dl class="sheet kpis">
      ${rows.map(([name, value, unit]) => html`<div><dt>${name}</dt><dd>${value}${unit && html`<small>${unit}</small>`}</dd></div>`)}
    </dl>`;
}

/** Series of the figures with a prefix, each with a label and a colour. */
function series(figures, prefix, values, label = (name) => name.replaceAll("_", " ")) {
  return figures.named(prefix).slice(0, 8).map((name, at) => ({ label: label(name.slice(prefix.length)), values: values(name), place: at + 1 }));
}

/** Protocols always have the same colours. */
function byProtocol(figures, prefix, values) {
  return ["emit", "koji", "mesa"].flatMap((protocol, at) => (figures.has(`${prefix}${protocol}`)
    ? [{ label: protocol, values: values(`${prefix}${protocol}`), place: at + 1 }]
    : []));
}

function Charts({ figures }) {
  const { times } = figures;
  const level = (name) => figures.level(name);
  const rate = (name) => figures.rate(name);
  const named = (...all) => all.flatMap(([label, name, values], at) => (figures.has(name) ? [{ label, values: values(name), place: at + 1 }] : []));
  const quantiles = figures.has("handler_calls")
    ? [["p50", 0.5], ["p99", 0.99]].map(([label, share], at) => ({ label, values: figures.quantile(share), place: at + 1 }))
    : [];
  const charts = [
    ["Connections", byProtocol(figures, "connections_", level), number],
    ["Messages from clients", byProtocol(figures, "messages_", rate), perSecond],
    ["Deliveries", named(["queued", "deliveries", rate]), perSecond],
    ["Undelivered", series(figures, "undelivered_", rate), perSecond, "Every message was delivered."],
    ["Traffic", named(["received", "received_bytes", rate], ["sent", "sent_bytes", rate]), bytesPerSecond],
    ["Opened and refused", named(["opened", "accepted", rate], ["refused", "refused", rate]), perSecond],
    ["Closes by code", series(figures, "closed_", rate, (code) => CLOSE_CODES[code] ?? code), perSecond, "No connection was closed."],
    ["Handlers", quantiles, orNone(seconds), "No handler ran."],
    ["Queued bytes", named(["outboxes", "outbox_bytes", level], ["to Redis", "queue_bytes", level]), bytes, "Nothing is queued."],
    ["Memory", named(["resident", "memory_bytes", level]), bytes],
    ["Between nodes", named(["published", "published", rate], ["received", "published_received", rate]), perSecond, "Nothing was published to other nodes."],
    ["Redis", named(["connected", "redis_up", level], ["reconnects", "redis_reconnects", rate]), number, "This node runs without Redis."],
    ["Inbox", named(["stored", "inbox_stored", rate], ["acknowledged", "inbox_acknowledged", rate], ["evicted", "inbox_evicted", rate],
      ["expired", "inbox_expired", rate]), perSecond, "Nothing was stored for users."],
    ["Webhooks", named(["reports", "webhook_reports", rate], ["lost", "webhook_lost", rate]), perSecond, "Nothing was reported."],
    ["Webhook backlog", named(["reports", "webhook_backlog", level]), number, "No report waits."],
    ["Calls of the API", named(["calls", "api_requests", rate]), perSecond],
  ];
  return html`
    <div class="charts">
      ${charts.map(([name, lines, unit, empty]) => html`
        <${Chart} key=${name} title=${name} times=${times} series=${lines} unit=${unit}
          isBinary=${unit === bytes || unit === bytesPerSecond} empty=${empty} />`)}
    </div>`;
}
