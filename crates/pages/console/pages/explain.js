// Whether a message would arrive, and what became of messages that were traced, in sentences.

import { html, useState } from "../lib.js";
import { segment } from "../api.js";
import { bytes, moment } from "../format.js";
import { Field, Head, Notice, Segments, State, Table } from "../parts.js";
import { ProjectField } from "../project.js";
import { useQuery } from "../query.js";
import { go, link } from "../route.js";

const KINDS = [["prospect", "Would it arrive?"], ["traces", "Traced messages"]];

export function Explain({ title, path, query, ...rest }) {
  const isTrace = Boolean(path[0]);
  const kind = isTrace || query.kind === "traces" ? "traces" : "prospect";
  return html`
    <${Head} title=${title}>
      <${Segments} label="What" value=${kind} options=${KINDS} onChange=${(id) => go(["explain"], { kind: id })} />
    <//>
    ${kind === "prospect" ? html`<${Prospect} query=${query} ...${rest} />`
    : isTrace ? html`<${Life} trace=${path[0]} ...${rest} />` : html`<${Traces} ...${rest} />`}`;
}

/** A dry run. The question is in the address, so it can be shared. */
function Prospect({ query, session, project, onProject }) {
  const [to, setTo] = useState(query.to ?? "");
  const [event, setEvent] = useState(query.event ?? "");
  const [sender, setSender] = useState(query.sender ?? "");
  const [user, setUser] = useState(query.user ?? "");
  const submit = (submitted) => {
    submitted.preventDefault();
    go(["explain"], { to, event, sender, user });
  };
  const asked = { to: query.to, event: query.event, sender: query.sender, user: query.user, project };
  const answer = useQuery(query.to ? "explain" : "", asked);
  return html`
    <form class="toolbar" onSubmit=${submit}>
      <${Field} label="To" value=${to} onInput=${setTo} hint="user:7, #lobby or @everyone" required wide />
      <${Field} label="Event" value=${event} onInput=${setEvent} hint="message" />
      <${Field} label="From the socket" value=${sender} onInput=${setSender} hint="the server" />
      <${Field} label="Only sockets of the user" value=${user} onInput=${setUser} />
      <${ProjectField} session=${session} project=${project} onProject=${onProject} />
      <button class="primary">Explain</button>
    </form>
    <${Notice} problem=${answer.problem} />
    ${query.to ? html`<${Sentences} label="Answer" answer=${answer} mark=${answer.data && html`
        <${State} kind=${answer.data.would_arrive ? "good" : "bad"}>${answer.data.would_arrive ? "would arrive" : "would not arrive"}<//>`} />`
    : html`<p class="empty">Nothing is sent: the nodes compare rights, memberships and connections.</p>`}`;
}

function Traces({ session, project, onProject }) {
  const list = useQuery("traces", { project }, { every: 5000 });
  const columns = [
    { title: "Event", name: true, cell: ({ trace, event }) => html`<a class="mono" href=${link(["explain", trace], { project })}>${event}</a>` },
    { title: "To", wrap: true, cell: ({ to }) => html`<span class="mono">${to.join(", ")}</span>` },
    { title: "Size", numeric: true, cell: (message) => bytes(message.bytes) },
    { title: "Node", cell: ({ node }) => html`<span class="mono">${node}</span>` },
    { title: "Sent", cell: ({ at_us }) => moment(at_us / 1000) },
  ];
  return html`
    <div class="toolbar"><${ProjectField} session=${session} project=${project} onProject=${onProject} /></div>
    <${Notice} problem=${list.problem} />
    <section class="sheet">
      <${Table} label="Traced messages" columns=${columns} rows=${list.data?.traces} rowKey=${({ trace }) => trace} isLoading=${list.isLoading}
        empty="No message is traced. A send with trace, or the setting traces.one_in, traces messages." />
    </section>`;
}

function Life({ trace, project }) {
  const answer = useQuery(`traces/${segment(trace)}`, { project }, { every: 5000 });
  return html`
    <${Notice} problem=${answer.problem} />
    <${Sentences} label="Life of the message" answer=${answer} mark=${html`<span class="mono">${trace}</span>`} />`;
}

function Sentences({ label, answer, mark }) {
  if (answer.isLoading) return html`<p class="empty" role="status">Loading …</p>`;
  if (!answer.data) return null;
  return html`
    <section class="sheet" role="region" aria-label=${label}>
      <header><h2>${label}</h2>${mark}</header>
      <div class="pad stack">${answer.data.sentences.map((sentence) => html`<p class="sentence">${sentence}</p>`)}</div>
    </section>`;
}
