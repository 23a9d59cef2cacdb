// One shard: its clients in the order in which they connected.

import { html } from "../lib.js";
import { segment } from "../api.js";
import { duration, plural } from "../format.js";
import { Head, Notice, Table } from "../parts.js";
import { useQuery } from "../query.js";
import { link } from "../route.js";
import { SocketLink } from "../sockets.js";

export function Shard({ path: [shard], query: { project } }) {
  const { data, problem, isLoading } = useQuery(`shards/${segment(shard)}`, { project }, { every: 3000 });
  const columns = [
    { title: "Client", cell: ({ socket }) => html`<${SocketLink} socket=${socket} project=${project} />` },
    { title: "Last sign of life", numeric: true, cell: ({ last_ping_ms: at }) => `${duration(data.as_of_ms - at)} ago` },
    { title: "User info", wrap: true, cell: ({ user_info: info }) => html`<code>${JSON.stringify(info).slice(0, 300)}</code>` },
  ];
  return html`
    <${Head} title=${shard}>
      ${data && html`<span class="quiet">${plural(data.clients.length, "taken seat")}</span>`}
      <a href=${link(["rooms"], { kind: "shards" })}>All shards</a>
    <//>
    <${Notice} problem=${problem} />
    <section class="sheet">
      <${Table} label="Clients" columns=${columns} rows=${data?.clients} rowKey=${({ socket }) => socket} empty="No client has a seat." isLoading=${isLoading} />
    </section>`;
}
