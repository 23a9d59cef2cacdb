// The rooms, shards and online users of a project.

import { html, useState } from "../lib.js";
import { count, plural } from "../format.js";
import { Field, Head, Notice, Pager, Segments, Table, usePages } from "../parts.js";
import { ProjectField } from "../project.js";
import { useQuery } from "../query.js";
import { go, link } from "../route.js";

const KINDS = [["rooms", "Rooms"], ["shards", "Shards"], ["users", "Users"]];

export function Rooms({ title, session, query, project, onProject }) {
  const kind = KINDS.some(([id]) => id === query.kind) ? query.kind : "rooms";
  const Shown = { rooms: RoomList, shards: ShardList, users: UserList }[kind];
  return html`
    <${Head} title=${title}>
      <${Segments} label="Kind" value=${kind} options=${KINDS} onChange=${(id) => go(["rooms"], { kind: id })} />
    <//>
    <${Shown} key=${kind} session=${session} project=${project} onProject=${onProject} />`;
}

function RoomList({ session, project, onProject }) {
  const [prefix, setPrefix] = useState("");
  const pages = usePages(`${prefix}\n${project}`);
  const list = useQuery("rooms", { prefix, project, after: pages.after, limit: 50 }, { every: 5000 });
  const columns = [
    { title: "Room", name: true, cell: ({ room }) => html`<a class="mono" href=${link(["room", room], { project })}>${room}</a>` },
    { title: "Sockets", numeric: true, cell: ({ sockets }) => count(sockets) },
  ];
  return html`
    <div class="toolbar">
      <${Field} label="Name begins with" value=${prefix} onInput=${setPrefix} wide />
      <${ProjectField} session=${session} project=${project} onProject=${onProject} />
    </div>
    <${Notice} problem=${list.problem} />
    <section class="sheet narrow">
      <${Table} label="Rooms" columns=${columns} rows=${list.data?.rooms} rowKey=${({ room }) => room} empty="No room has a member." isLoading=${list.isLoading} />
      <${Pager} pages=${pages} next=${list.data?.next} />
    </section>`;
}

function ShardList({ session, project, onProject }) {
  const pages = usePages(project);
  const list = useQuery("shards", { project, after: pages.after, limit: 50 }, { every: 5000 });
  const columns = [
    { title: "Shard", name: true, cell: ({ shard }) => html`<a class="mono" href=${link(["shard", shard], { project })}>${shard}</a>` },
    { title: "Taken seats", numeric: true, cell: ({ seated }) => count(seated) },
  ];
  return html`
    <div class="toolbar"><${ProjectField} session=${session} project=${project} onProject=${onProject} /></div>
    <${Notice} problem=${list.problem} />
    <section class="sheet narrow">
      <${Table} label="Shards" columns=${columns} rows=${list.data?.shards} rowKey=${({ shard }) => shard} empty="No shard has a client."
        isLoading=${list.isLoading} />
      <${Pager} pages=${pages} next=${list.data?.next} />
    </section>`;
}

function UserList({ session, project, onProject }) {
  const [typed, setTyped] = useState("");
  const pages = usePages(project);
  const list = useQuery("users", { project, after: pages.after, limit: 50 }, { every: 5000 });
  const find = (event) => {
    event.preventDefault();
    if (typed) go(["user", typed], { project });
  };
  const columns = [
    { title: "User", name: true, cell: (user) => html`<a href=${link(["user", user], { project })}>${user}</a>` },
  ];
  return html`
    <form class="toolbar" onSubmit=${find} role="search">
      <${Field} label="User, online or not" value=${typed} onInput=${setTyped} wide />
      <${ProjectField} session=${session} project=${project} onProject=${onProject} />
      <button class="primary">Open</button>
    </form>
    <${Notice} problem=${list.problem} />
    <section class="sheet narrow">
      <${Table} label="Users" columns=${columns} rows=${list.data?.users} rowKey=${(user) => user} empty="No user is online." isLoading=${list.isLoading} />
      <${Pager} pages=${pages} next=${list.data?.next} text=${list.data ? `${plural(list.data.online, "user")} online` : ""} />
    </section>`;
}
