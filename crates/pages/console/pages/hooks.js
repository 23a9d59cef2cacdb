// The webhook endpoints of the node that serves this page.

import { html } from "../lib.js";
import { post } from "../api.js";
import { count, duration } from "../format.js";
import { Head, Notice, State, Table } from "../parts.js";
import { useAction, useQuery } from "../query.js";

const KINDS = { delivering: "good", failing: "bad", stopped: "bad" };

export function Hooks({ title, mayManage, session }) {
  const { data, problem, isLoading, reload } = useQuery("hooks", {}, { every: 3000 });
  const replay = useAction(async (endpoint) => {
    await post("hooks/replay", { endpoint });
    reload();
  });
  const columns = [
    { title: "Endpoint", cell: ({ name }) => name },
    { title: "State", cell: ({ state, failures }) => html`<${State} kind=${KINDS[state]}>${state}${failures ? `, ${count(failures)} failures` : ""}<//>` },
    { title: "URL", wrap: true, cell: ({ url }) => html`<span class="mono">${url}</span>` },
    { title: "Delivered", numeric: true, cell: ({ delivered }) => count(delivered) },
    { title: "Backlog", numeric: true, cell: ({ backlog }) => count(backlog) },
    { title: "Oldest", numeric: true, cell: ({ oldest_ms: age, backlog }) => (backlog ? duration(age) : "–") },
    { title: "Last failure", wrap: true, cell: ({ last_error: error }) => error ?? html`<span class="quiet">none</span>` },
    { title: "", cell: ({ name, state }) => mayManage && state !== "delivering" && html`
      <button disabled=${replay.isRunning} onClick=${() => replay.run(name)}>Try now</button>` },
  ];
  return html`
    <${Head} title=${title}><span class="quiet">as node <span class="mono">${session.node}</span> sees them</span><//>
    <${Notice} problem=${problem ?? replay.problem} />
    <section class="sheet">
      <${Table} label="Endpoints" columns=${columns} rows=${data?.endpoints} rowKey=${({ name }) => name} isLoading=${isLoading}
        empty="No endpoint is set up. Endpoints are in hooks.endpoints of the settings." />
    </section>`;
}
