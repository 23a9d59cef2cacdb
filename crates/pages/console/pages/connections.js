// The connections of a project, by user, room, address, protocol or node.

import { html, useState } from "../lib.js";
import { bytes, count } from "../format.js";
import { Choice, Field, Head, Notice, Pager, State, Table, usePages } from "../parts.js";
import { ProjectField } from "../project.js";
import { useQuery } from "../query.js";
import { go, link } from "../route.js";
import { SocketLink } from "../sockets.js";

export function Connections({ title, session, query, project, onProject }) {
  const { user = "", room = "", tag = "", address = "", protocol = "", node = "" } = query;
  const filter = { user, room, tag, address, protocol, node };
  const [typed, setTyped] = useState(filter);
  const pages = usePages(JSON.stringify([filter, project]));
  const list = useQuery("connections", { ...filter, project, after: pages.after, limit: 50 }, { every: 5000 });
  const set = (name) => (value) => setTyped({ ...typed, [name]: value });
  const search = (event) => {
    event.preventDefault();
    go(["connections"], typed);
  };
  const clear = () => {
    setTyped({ user: "", room: "", tag: "", address: "", protocol: "", node: "" });
    go(["connections"]);
  };
  const columns = [
    { title: "Socket", cell: ({ socket }) => html`<${SocketLink} socket=${socket} project=${project} />` },
    { title: "User", name: true, cell: ({ user: id }) => (id === undefined ? html`<span class="quiet">–</span>`
      : html`<a href=${link(["user", id], { project })}>${id}</a>`) },
    { title: "Protocol", cell: ({ protocol: name }) => name },
    { title: "Address", cell: ({ address: from }) => (from ? html`<span class="mono">${from}</span>` : "–") },
    { title: "Node", cell: ({ node: id }) => html`<span class="mono">${id}</span>` },
    { title: "Rooms", numeric: true, cell: ({ rooms }) => count(rooms) },
    { title: "Tags", numeric: true, cell: ({ tags }) => count(tags) },
    { title: "Outbox", numeric: true, cell: ({ outbox_bytes: queued }) => bytes(queued) },
    { title: "", cell: ({ detached }) => detached && html`<${State} kind="warn">detached<//>` },
  ];
  const total = list.data?.total;
  return html`
    <${Head} title=${title} />
    <form class="toolbar" onSubmit=${search} role="search">
      <${Field} label="User" value=${typed.user} onInput=${set("user")} />
      <${Field} label="Room" value=${typed.room} onInput=${set("room")} />
      <${Field} label="Tag" value=${typed.tag} onInput=${set("tag")} />
      <${Field} label="Address" value=${typed.address} onInput=${set("address")} hint="10.0.0.7" />
      <${Choice} label="Protocol" value=${typed.protocol} onChange=${set("protocol")}
        options=${[["", "any"], ["emit", "emit"], ["koji", "koji"], ["mesa", "mesa"]]} />
      <${ProjectField} session=${session} project=${project} onProject=${onProject} />
      <button class="primary">Search</button>
      <button type="button" onClick=${clear}>Clear</button>
    </form>
    <${Notice} problem=${list.problem} />
    ${list.data?.missing.length > 0 && html`<p class="note" role="status">Without the nodes ${list.data.missing.join(", ")}, which did not answer.</p>`}
    <section class="sheet">
      <${Table} label="Connections" columns=${columns} rows=${list.data?.connections} rowKey=${({ socket }) => socket}
        empty="No connection matches." isLoading=${list.isLoading} />
      <${Pager} pages=${pages} next=${list.data?.next} text=${total === undefined ? "" : `${count(total)} match`} />
    </section>`;
}
