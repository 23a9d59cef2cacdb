// Sends events and requests, and makes the command for a token; beside each is the code that does the same.

import { html, useState } from "../lib.js";
import { address, post } from "../api.js";
import { Choice, Code, Field, Head, Json, Notice, Segments } from "../parts.js";
import { ProjectField } from "../project.js";
import { useAction } from "../query.js";
import { go } from "../route.js";
import { curl, python, typescript } from "../snippets.js";

const KINDS = [["send", "Send"], ["request", "Request"], ["token", "Token"]];
const TARGETS = [["rooms", "a room"], ["users", "a user"], ["tags", "a tag"], ["sockets", "a socket"], ["everyone", "everyone"]];

export function Try({ title, query, ...rest }) {
  const kind = KINDS.some(([id]) => id === query.kind) ? query.kind : "send";
  return html`
    <${Head} title=${title}>
      <${Segments} label="What" value=${kind} options=${KINDS} onChange=${(id) => go(["try"], { kind: id })} />
    <//>
    ${kind === "token" ? html`<${Token} />` : html`<${Call} key=${kind} kind=${kind} ...${rest} />`}`;
}

/** The body of a call, or why there is none. */
function bodyOf({ kind, target, name, event, data, project, timeout }) {
  let value;
  try {
    value = data.trim() === "" ? undefined : JSON.parse(data);
  } catch (error) {
    return { reason: `The data is no JSON: ${error.message}` };
  }
  if (!event) return { reason: "Name the event." };
  if (target !== "everyone" && !name) return { reason: "Name the recipient." };
  const to = target === "everyone" ? { everyone: true } : { [target]: [name] };
  const wait = kind === "request" && timeout ? { timeout_ms: Number(timeout) } : {};
  return { body: { event, ...(value === undefined ? {} : { data: value }), to, ...wait, ...(project ? { project } : {}) } };
}

function Call({ kind, session, maySend, project, onProject }) {
  const [target, setTarget] = useState("rooms");
  const [name, setName] = useState("lobby");
  const [event, setEvent] = useState(kind === "send" ? "news" : "/ready?");
  const [data, setData] = useState(kind === "send" ? '{ "text": "hello" }' : "{}");
  const [timeout, setTimeout] = useState("2000");
  const { body, reason } = bodyOf({ kind, target, name, event, data, project, timeout });
  const action = useAction(() => post(kind, body));
  const submit = (submitted) => {
    submitted.preventDefault();
    action.run();
  };
  const url = address(kind).href;
  return html`
    <div class="columns">
      <form class="sheet" onSubmit=${submit}><div class="pad stack">
        <div class="toolbar">
          <${Choice} label="To" value=${target} options=${TARGETS} onChange=${setTarget} />
          ${target !== "everyone" && html`<${Field} label="Name or id" value=${name} onInput=${setName} wide />`}
        </div>
        <div class="toolbar">
          <${Field} label="Event" value=${event} onInput=${setEvent} wide />
          ${kind === "request" && html`<${Field} label="Time-out in ms" value=${timeout} onInput=${setTimeout} inputmode="numeric" />`}
          <${ProjectField} session=${session} project=${project} onProject=${onProject} />
        </div>
        <label class="field">Data, as JSON
          <textarea value=${data} onInput=${(typed) => setData(typed.currentTarget.value)} spellcheck="false"></textarea>
        </label>
        <div>
          <button class="primary" disabled=${!body || !maySend || action.isRunning}>${kind === "send" ? "Send" : "Send and wait"}</button>
          ${!maySend && html`<p class="quiet">This key does not have the scope send.</p>`}
          ${maySend && reason && html`<p class="quiet" role="status">${reason}</p>`}
        </div>
        <${Notice} problem=${action.problem} />
        ${action.result && html`<div role="status"><${Json} label="Answer" value=${action.result} /></div>`}
      </div></form>
      <section class="sheet"><header><h2>The same in code</h2></header><div class="pad">
        ${body ? html`
          <${Code} title="Shell" code=${curl(url, body)} />
          <${Code} title="TypeScript" code=${typescript(kind, url, body)} />
          <${Code} title="Python" code=${python(url, body)} />`
    : html`<p class="quiet">${reason}</p>`}
      </div></section>
    </div>`;
}

function Token() {
  const [user, setUser] = useState("ann");
  const [rooms, setRooms] = useState("#chat-*");
  const [letters, setLetters] = useState("jshp");
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const claim = rooms ? ` --claim ${quote(`can=${JSON.stringify({ [rooms]: letters })}`)}` : "";
  return html`
    <div class="columns">
      <section class="sheet"><div class="pad stack">
        <div class="toolbar">
          <${Field} label="User" value=${user} onInput=${setUser} />
          <${Field} label="Rooms" value=${rooms} onInput=${setRooms} hint="#chat-*" />
          <${Choice} label="May" value=${letters} onChange=${setLetters}
            options=${[["jshp", "do everything"], ["jh", "join and read"], ["js", "join and send"]]} />
        </div>
        <p class="quiet">A token needs the secret of <code>auth.jwt_secret</code>, which the console does not have. The command reads it from the
          settings file.</p>
      </div></section>
      <section class="sheet"><header><h2>The command</h2></header><div class="pad">
        <${Code} title="Shell" code=${`switchboard token make ${quote(user)} --config switchboard.toml${claim}`} />
      </div></section>
    </div>`;
}
