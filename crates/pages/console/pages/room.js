// One room: its members and the messages that it keeps.

import { html } from "../lib.js";
import { segment } from "../api.js";
import { count, moment } from "../format.js";
import { Head, Notice, Pager, Table, usePages } from "../parts.js";
import { useQuery } from "../query.js";
import { link } from "../route.js";
import { socketColumns } from "../sockets.js";

export function Room({ path: [room], query: { project } }) {
  const size = useQuery(`rooms/${segment(room)}`, { project }, { every: 3000 });
  const history = useQuery(`rooms/${segment(room)}/history`, { project, limit: 50 }, { every: 5000 });
  const pages = usePages(room);
  const members = useQuery(`rooms/${segment(room)}/members`, { project, after: pages.after, limit: 25 }, { every: 5000 });
  const { data } = history;
  const keeps = data && data.top + 1 - data.first;
  return html`
    <${Head} title=${room}>
      <a href=${link(["connections"], { room })}>Connections in it</a>
      <a href=${link(["rooms"])}>All rooms</a>
    <//>
    <${Notice} problem=${size.problem} />
    <div class="columns">
      <section class="sheet"><header><h2>Room</h2></header><div class="pad">
        <dl class="facts">
          <dt>Sockets</dt><dd>${size.data ? count(size.data.sockets) : "…"}</dd>
          <dt>Kept messages</dt><dd>${data ? count(keeps) : history.problem ? "none: this room has no history" : "…"}</dd>
          ${data && html`<dt>Position</dt><dd class="mono">${data.epoch}/${data.top}</dd>`}
        </dl>
      </div></section>
      <section class="sheet"><header><h2>Members</h2></header>
        <${Table} label="Members" columns=${socketColumns(project)} rows=${members.data?.sockets} rowKey=${({ socket }) => socket}
          empty="Nobody is in it." isLoading=${members.isLoading} />
        <${Pager} pages=${pages} next=${members.data?.next} />
      </section>
    </div>
    ${data?.messages.length > 0 && html`<section class="sheet below"><header><h2>Latest messages</h2></header>
      <${Messages} messages=${data.messages.toReversed()} project=${project} /></section>`}`;
}

function Messages({ messages, project }) {
  const columns = [
    { title: "Offset", numeric: true, cell: ({ offset }) => count(offset) },
    { title: "Time", cell: ({ time_ms: at }) => moment(at) },
    { title: "Event", name: true, cell: ({ event }) => event },
    { title: "Sender", cell: ({ sender }) => (sender ? html`<a class="mono" href=${link(["connection", sender], { project })}>${sender}</a>` : "server") },
    { title: "Data", wrap: true, cell: ({ data }) => html`<code>${JSON.stringify(data).slice(0, 300)}</code>` },
  ];
  return html`<${Table} label="Latest messages" columns=${columns} rows=${messages} rowKey=${({ offset }) => offset} empty="" />`;
}
