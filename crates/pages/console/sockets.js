// Sockets in lists.

import { html } from "./lib.js";
import { link } from "./route.js";

/** A link to a connection. Small screens show the end of its id, because all ids of a node begin alike. */
export function SocketLink({ socket, project }) {
  return html`<a class="mono id" href=${link(["connection", socket], { project })} title=${socket}><span>${socket.slice(0, 24)}</span>${socket.slice(24)}</a>`;
}

export const socketColumns = (project) => [
  { title: "Socket", cell: ({ socket }) => html`<${SocketLink} socket=${socket} project=${project} />` },
  { title: "Node", cell: ({ node }) => html`<span class="mono">${node}</span>` },
];
