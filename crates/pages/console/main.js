// The console: the sign-in, then the frame with a page.

import { html, render, useEffect, useState } from "./lib.js";
import { listenForSignOut, session } from "./api.js";
import { Frame } from "./frame.js";
import { SignIn } from "./sign-in.js";

function Console() {
  // `undefined` until the server has answered, `null` without a session.
  const [state, setState] = useState();
  const [reason, setReason] = useState();
  useEffect(() => {
    listenForSignOut(() => {
      setReason("Your session has ended. Sign in again.");
      setState((before) => (before ? null : before));
    });
    session.read().then(setState, (problem) => {
      if (problem.status !== 401) setReason(problem.message);
      setState(null);
    });
  }, []);
  if (state === undefined) return null;
  if (state === null) return html`<${SignIn} reason=${reason} onSignedIn=${(opened) => { setReason(undefined); setState(opened); }} />`;
  const signOut = async () => {
    await session.end().catch(() => {});
    setReason(undefined);
    setState(null);
  };
  return html`<${Frame} session=${state} onSignOut=${signOut} />`;
}

render(html`<${Console} />`, document.body);
