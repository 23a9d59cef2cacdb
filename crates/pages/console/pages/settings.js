// The settings in effect on the node that serves this page, and what a reload would change.

import { html, useState } from "../lib.js";
import { post } from "../api.js";
import { plural } from "../format.js";
import { Confirm, Field, Head, Notice, Segments, Table } from "../parts.js";
import { useAction, useQuery } from "../query.js";

export function Settings({ title, mayManage, session }) {
  const { data, problem, isLoading, reload } = useQuery("settings");
  const [text, setText] = useState("");
  const [which, setWhich] = useState("set");
  const apply = useAction(async () => {
    const outcome = await post("reload", {});
    reload();
    return outcome;
  });
  const isShown = ({ key, value, source }) => (which === "all" || source !== undefined) && `${key} ${value}`.includes(text);
  const rows = data?.settings.filter(isShown);
  const columns = [
    { title: "Setting", cell: ({ key }) => html`<span class="mono">${key}</span>` },
    { title: "Value", wrap: true, cell: ({ value }) => html`<span class="mono">${value}</span>` },
    { title: "From", cell: ({ source }) => source ?? html`<span class="quiet">default</span>` },
  ];
  return html`
    <${Head} title=${title}>
      <span class="quiet">of node <span class="mono">${session.node}</span></span>
      <${Segments} label="Which settings" value=${which} onChange=${setWhich} options=${[["set", "Set"], ["all", "All"]]} />
    <//>
    <${Notice} problem=${problem ?? apply.problem} />
    ${data && html`<${Reload} data=${data} mayManage=${mayManage} action=${apply} />`}
    <div class="toolbar"><${Field} label="Search" value=${text} onInput=${setText} wide /></div>
    <section class="sheet">
      <${Table} label="Settings" columns=${columns} rows=${rows} rowKey=${({ key }) => key} isLoading=${isLoading}
        empty=${which === "set" && !text ? "No setting is set; all have their defaults." : "No setting matches."} />
    </section>`;
}

function Reload({ data, mayManage, action }) {
  const { reload_applies: applies, needs_restart: waits, reload_error: error } = data;
  if (error) return html`<p class="problem" role="status">A reload would fail: ${error}</p>`;
  if (!applies.length && !waits.length) return html`<p class="note">The sources have not changed; a reload would change nothing.</p>`;
  return html`
    <section class="sheet reload"><header><h2>Changed since the last reload</h2>
      ${mayManage && applies.length > 0 && html`<${Confirm} disabled=${action.isRunning} question=${`Apply ${plural(applies.length, "setting")}?`}
        onConfirm=${action.run}>Reload<//>`}</header>
      <div class="pad"><dl class="facts">
        <dt>A reload applies</dt><dd class="mono">${applies.join(", ") || "nothing"}</dd>
        <dt>Need a restart</dt><dd class="mono">${waits.join(", ") || "none"}</dd>
      </dl></div>
    </section>`;
}
