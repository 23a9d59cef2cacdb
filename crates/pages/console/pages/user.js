// One user: sockets on all nodes, and the messages that wait.

import { html, useState } from "../lib.js";
import { post, segment } from "../api.js";
import { count, moment, plural } from "../format.js";
import { Confirm, Field, Head, Notice, State, Table } from "../parts.js";
import { useAction, useQuery } from "../query.js";
import { link } from "../route.js";
import { socketColumns } from "../sockets.js";

export function User({ path: [user], query: { project }, mayManage }) {
  const { data, problem, isLoading, reload } = useQuery(`users/${segment(user)}`, { project }, { every: 3000 });
  const inbox = useQuery(`inbox/${segment(user)}`, { project, limit: 50 }, { every: 5000 });
  return html`
    <${Head} title=${user}>
      ${data && html`<${State} kind=${data.online ? "good" : ""}>${data.online ? "online" : "offline"}<//>`}
      <a href=${link(["rooms"], { kind: "users" })}>All users</a>
    <//>
    <${Notice} problem=${problem} />
    <div class="columns">
      <section class="sheet"><header><h2>Sockets</h2></header>
        <${Table} label="Sockets" columns=${socketColumns(project)} rows=${data?.sockets} rowKey=${({ socket }) => socket}
          empty="The user has no socket." isLoading=${isLoading} />
      </section>
      <section class="sheet"><header><h2>Waiting messages</h2></header><${Inbox} inbox=${inbox} /></section>
      ${mayManage && data?.online && html`<section class="sheet"><header><h2>Close all sockets</h2></header><div class="pad">
        <${Close} user=${user} project=${project} onClosed=${reload} /></div></section>`}
    </div>`;
}

function Inbox({ inbox: { data, problem, isLoading } }) {
  if (problem) return html`<p class="empty">${problem.status === 400 ? "The inbox of this server is off." : problem.message}</p>`;
  const messages = data?.messages ?? [];
  const columns = [
    { title: "Time", cell: ({ sent_at_ms: at }) => moment(at) },
    { title: "Event", name: true, cell: ({ event }) => event },
    { title: "Data", wrap: true, cell: ({ data: content }) => html`<code>${JSON.stringify(content)?.slice(0, 200)}</code>` },
  ];
  return html`
    <${Table} label="Waiting messages" columns=${columns} rows=${messages} rowKey=${({ number }) => number} empty="None." isLoading=${isLoading} />
    ${messages.length > 0 && html`<div class="pager"><span>${plural(messages.length, "message")} shown${data.next ? ", there are more" : ""}</span></div>`}`;
}

function Close({ user, project, onClosed }) {
  const [reason, setReason] = useState("");
  const close = useAction(async () => {
    const { sockets_here: here } = await post("disconnect", { to: { users: [user] }, reason, project });
    onClosed();
    return here;
  });
  return html`
    <div class="toolbar">
      <${Field} label="Reason" value=${reason} onInput=${setReason} wide maxlength="123" />
      <${Confirm} disabled=${close.isRunning} question="Close them?" onConfirm=${close.run}>Close<//>
    </div>
    <${Notice} problem=${close.problem} />
    ${close.result !== undefined && html`<p role="status">${count(close.result)} closed on this node; other nodes close theirs.</p>`}`;
}
