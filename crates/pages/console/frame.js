// The frame: the list of pages, the visitor's key, and the chosen page.

import { html, useEffect, useState } from "./lib.js";
import { useRoute } from "./route.js";
import { Connection } from "./pages/connection.js";
import { Connections } from "./pages/connections.js";
import { Explain } from "./pages/explain.js";
import { Hooks } from "./pages/hooks.js";
import { Nodes } from "./pages/nodes.js";
import { Overview } from "./pages/overview.js";
import { Room } from "./pages/room.js";
import { Rooms } from "./pages/rooms.js";
import { Settings } from "./pages/settings.js";
import { Shard } from "./pages/shard.js";
import { Try } from "./pages/try.js";
import { User } from "./pages/user.js";

/** The pages in their order; `null` is a gap. Those of the server need a key that is valid for all projects. */
const PAGES = [
  ["overview", "Overview", Overview, { ofServer: true }],
  ["nodes", "Nodes", Nodes, { ofServer: true }],
  null,
  ["connections", "Connections", Connections, {}],
  ["rooms", "Rooms and users", Rooms, {}],
  ["hooks", "Webhooks", Hooks, { ofServer: true }],
  null,
  ["explain", "Explain", Explain, {}],
  ["try", "Try", Try, {}],
  ["settings", "Settings", Settings, { ofServer: true }],
];

/** Pages of one thing; the list that they belong to is marked. */
const DETAILS = { connection: [Connection, "connections"], room: [Room, "rooms"], shard: [Shard, "rooms"], user: [User, "rooms"] };

export function Frame({ session, onSignOut }) {
  const { path: [name, ...rest], query } = useRoute();
  const [isOpen, setOpen] = useState(false);
  const [project, setProject] = useState(session.projects?.[0] ?? "");
  const visible = PAGES.filter((page) => !page || !session.projects || !page[3].ofServer);
  const pages = visible.filter(Boolean);
  const [Detail, parent] = DETAILS[name] ?? [];
  const [current, title, Page] = pages.find(([id]) => id === (parent ?? name)) ?? pages[0];
  const Shown = Detail ?? Page;
  const mayManage = session.scopes.includes("manage");
  const maySend = session.scopes.includes("send");
  useEffect(() => {
    setOpen(false);
    scrollTo(0, 0);
  }, [name, ...rest]);

  return html`
    <div class="frame">
      <header class="side ${isOpen ? "open" : ""}">
        <a class="brand" href="#/"><img src="icon.svg" alt="" />Switchboard</a>
        <button class="menu" aria-expanded=${isOpen ? "true" : "false"} aria-controls="pages" onClick=${() => setOpen(!isOpen)}>Menu</button>
        <nav id="pages" aria-label="Pages">
          <ul>
            ${visible.map((page, at) => page && html`
              <li class=${visible[at - 1] === null ? "gap" : ""}>
                <a href="#/${page[0]}" aria-current=${page[0] === current ? "page" : undefined}>${page[1]}</a>
              </li>`)}
          </ul>
        </nav>
        <div class="who">
          <span>Key ${session.key}${mayManage ? "" : ", read-only"}</span>
          <span>Node <span class="mono">${session.node}</span>, version ${session.version}</span>
          <span><button class="link" onClick=${onSignOut}>Sign out</button></span>
        </div>
      </header>
      <main class="main">
        <${Shown} key=${name} title=${title} path=${rest} query=${query} session=${session} mayManage=${mayManage} maySend=${maySend}
          project=${project} onProject=${setProject} />
      </main>
    </div>`;
}
