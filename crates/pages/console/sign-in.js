// The form in which a visitor enters a key.

import { html, useEffect, useState } from "./lib.js";
import { session } from "./api.js";
import { useAction } from "./query.js";

export function SignIn({ reason, onSignedIn }) {
  const [key, setKey] = useState("");
  const { run, problem, isRunning } = useAction(async () => onSignedIn(await session.open(key)));
  useEffect(() => {
    document.title = "Sign in · Switchboard";
  }, []);
  const submit = (event) => {
    event.preventDefault();
    run();
  };
  const text = problem ? explain(problem) : reason;
  return html`
    <main class="sign-in">
      <form class="sheet" onSubmit=${submit}>
        <h1><img src="icon.svg" alt="" />Switchboard</h1>
        ${text && html`<p class="problem" role="alert">${text}</p>`}
        <label class="field">Key of the HTTP API
          <input type="password" value=${key} onInput=${(event) => setKey(event.currentTarget.value)} autocomplete="current-password"
            required autofocus />
        </label>
        <button class="primary" disabled=${isRunning || !key}>Sign in</button>
        <p class="quiet">A key of <code>api.keys</code> or <code>api.named_keys</code> with the scope <code>read</code> or <code>manage</code>.
          Without <code>manage</code> the console changes nothing.</p>
      </form>
    </main>`;
}

function explain(problem) {
  if (problem.status === 401) return problem.code === "expired" ? "This key has expired." : "This key is unknown.";
  return problem.message;
}
