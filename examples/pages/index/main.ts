// How many are in each example that plays on shards, so that nobody opens one to find it empty.

import { Dispatch } from "switchboard-sdk/dispatch";

const LOOK_EVERY_MS = 3000;

async function show(element: HTMLElement): Promise<void> {
  const shards = await new Dispatch({ projectId: element.dataset["project"] }).info().catch(() => []);
  const count = shards.reduce((sum, { numConnectedClients }) => sum + numConnectedClients, 0);
  element.textContent = count ? `${count} here now` : "";
}

function showAll(): void {
  if (!document.hidden) for (const element of document.querySelectorAll<HTMLElement>(".live")) void show(element);
}

showAll();
setInterval(showAll, LOOK_EVERY_MS);
document.addEventListener("visibilitychange", showAll);
