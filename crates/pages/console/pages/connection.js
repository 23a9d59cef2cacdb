// One connection: where it comes from, its memberships and rights, and its close.

import { html, useState } from "../lib.js";
import { post, segment } from "../api.js";
import { bytes } from "../format.js";
import { Chips, Confirm, Field, Head, Notice, State } from "../parts.js";
import { useAction, useQuery } from "../query.js";
import { link } from "../route.js";

export function Connection({ path: [socket], query: { project }, mayManage }) {
  const { data: answer, problem, reload } = useQuery(`connections/${segment(socket)}`, { project }, { every: 3000 });
  const data = answer?.connection;
  return html`
    <${Head} title="Connection">
      <a href=${link(["connections"])}>All connections</a>
    <//>
    <${Notice} problem=${problem} />
    ${answer && !data && html`<p class="note" role="status">There is no connection <span class="mono">${socket}</span>. It has closed, or its node
      does not answer.</p>`}
    ${data && html`
      <div class="columns">
        <section class="sheet"><header><h2 class="mono">${socket}</h2></header><div class="pad"><${Facts} data=${data} project=${project} /></div></section>
        <div class="stack">
          <section class="sheet"><header><h2>Memberships</h2></header><div class="pad"><${Memberships} data=${data} project=${project} /></div></section>
          ${mayManage && html`<section class="sheet"><header><h2>Close</h2></header><div class="pad">
            <${Close} socket=${socket} project=${project} onClosed=${reload} /></div></section>`}
        </div>
      </div>`}`;
}

function Facts({ data, project }) {
  const rows = [
    ["State", data.detached ? html`<${State} kind="warn">detached, can be resumed<//>` : html`<${State} kind="good">connected<//>`],
    ["User", data.user === undefined ? "none" : html`<a href=${link(["user", data.user], { project })}>${data.user}</a>`],
    ["Project", data.project],
    ["Protocol", data.protocol],
    ["Address", data.address ? html`<span class="mono">${data.address}</span>${data.secure ? ", TLS" : ""}` : "unknown"],
    ["Origin", data.origin ?? "none; not a browser"],
    ["Path", html`<span class="mono">${data.path}</span>`],
    ["Node", html`<span class="mono">${data.node}</span>`],
    ["Outbox", bytes(data.outbox_bytes)],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

function Memberships({ data, project }) {
  return html`
    <dl class="facts">
      <dt>Rooms</dt><dd><${Chips} names=${data.room_names} link=${(name) => link(["room", name], { project })} /></dd>
      <dt>Tags</dt><dd><${Chips} names=${data.tag_names} link=${(tag) => link(["connections"], { tag })} /></dd>
    </dl>
    ${(data.rooms > data.room_names.length || data.tags > data.tag_names.length) && html`<p class="quiet">Only the first 200 names are shown.</p>`}`;
}

function Close({ socket, project, onClosed }) {
  const [code, setCode] = useState("1000");
  const [reason, setReason] = useState("");
  const close = useAction(async () => {
    await post("disconnect", { to: { sockets: [socket] }, code: Number(code), reason, project });
    onClosed();
  });
  return html`
    <div class="toolbar">
      <${Field} label="Code" value=${code} onInput=${setCode} inputmode="numeric" />
      <${Field} label="Reason" value=${reason} onInput=${setReason} wide maxlength="123" />
      <${Confirm} disabled=${close.isRunning} question="Close it?" onConfirm=${close.run}>Close<//>
    </div>
    <${Notice} problem=${close.problem} />
    ${close.result === undefined && !close.problem ? null : !close.problem && html`<p role="status">The connection is closed after its queued frames.</p>`}`;
}
