// The project that lists are of.

import { html } from "./lib.js";
import { Choice, Field } from "./parts.js";

/** A choice among the projects of the key, or a field for any. */
export function ProjectField({ session, project, onProject }) {
  if (session.projects) {
    return html`<${Choice} label="Project" value=${project} options=${session.projects.map((id) => [id, id])} onChange=${onProject} />`;
  }
  return html`<${Field} label="Project" value=${project} onInput=${onProject} hint="the server's own" />`;
}
