// The nodes of the cluster: state, load, and drains.

import { html } from "../lib.js";
import { post } from "../api.js";
import { bytes, count, duration, moment } from "../format.js";
import { Confirm, Head, Notice, State, Table } from "../parts.js";
import { useAction, useQuery } from "../query.js";

/** The value that most nodes have. */
function usual(nodes, member) {
  const counts = new Map();
  for (const { state } of nodes) if (state) counts.set(state[member], (counts.get(state[member]) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

function health({ state, lease_left_ms: left }) {
  if (left === 0) return ["bad", "lease expired"];
  if (!state) return ["bad", "no answer"];
  if (state.stopping) return ["warn", "stopping"];
  if (state.draining) return ["warn", `draining, ${state.moving} moving`];
  if (state.degraded) return ["warn", "degraded"];
  return ["good", "ready"];
}

export function Nodes({ title, mayManage }) {
  const { data, problem, isLoading, reload } = useQuery("nodes", {}, { every: 3000 });
  const drain = useAction(async (node, cancel) => {
    await post("drain", { node, cancel });
    reload();
  });
  const nodes = data?.nodes ?? [];
  const [settings, version] = [usual(nodes, "settings"), usual(nodes, "version")];
  const differing = (value, common) => (value === common || nodes.length < 2 ? html`<span class="mono">${value}</span>`
    : html`<${State} kind="warn"><span class="mono">${value}</span> differs<//>`);
  const columns = [
    { title: "Node", cell: ({ node, is_this: isThis }) => html`<span class="mono">${node}</span>${isThis && html` <span class="quiet">this node</span>`}` },
    { title: "State", cell: (node) => html`<${State} kind=${health(node)[0]}>${health(node)[1]}<//>` },
    { title: "Connections", numeric: true, cell: ({ state }) => (state ? count(state.connections) : "–") },
    { title: "Outboxes", numeric: true, cell: ({ state }) => (state ? bytes(state.outbox_bytes) : "–") },
    { title: "Lease", numeric: true, cell: ({ lease_left_ms: left }) => (left === undefined ? "–" : duration(left)) },
    { title: "Up", numeric: true, cell: ({ state }) => (state
      ? html`<span title=${`since ${moment(state.started_at_ms)}`}>${duration(data.as_of_ms - state.started_at_ms)}</span>` : "–") },
    { title: "Version", cell: ({ state }) => (state ? differing(state.version, version) : "–") },
    { title: "Settings", cell: ({ state }) => (state ? differing(state.settings, settings) : "–") },
    { title: "", cell: (node) => mayManage && html`<${Drain} node=${node} action=${drain} />` },
  ];
  return html`
    <${Head} title=${title} />
    <${Notice} problem=${problem ?? drain.problem} />
    <section class="sheet">
      <${Table} label="Nodes" columns=${columns} rows=${nodes} rowKey=${({ node }) => node} empty="No node has a lease." isLoading=${isLoading} />
    </section>
    <p class="note note-below">Settings are compared by a hash of all but addresses, paths and secrets.</p>`;
}

function Drain({ node: { node, state }, action }) {
  if (!state || state.stopping) return null;
  if (state.draining) return html`<button disabled=${action.isRunning} onClick=${() => action.run(node, true)}>Cancel drain</button>`;
  return html`<${Confirm} disabled=${action.isRunning} question=${`Send ${count(state.connections)} clients away?`}
    onConfirm=${() => action.run(node, false)}>Drain<//>`;
}
