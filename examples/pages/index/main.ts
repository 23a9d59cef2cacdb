// Shows the number of members of each example that uses shards.

import { Dispatch } from "switchboard-sdk/dispatch";

const REFRESH_INTERVAL_MS = 3000;

async function show(element: HTMLElement): Promise<void> {
  const shards = await new Dispatch({ projectId: element.dataset["project"] }).info().catch(() => []);
  const count = shards.reduce((sum, { numConnectedClients }) => sum + numConnectedClients, 0);
  element.textContent = count ? `${count} here now` : "";
}

function showAll(): void {
  if (!document.hidden) for (const element of document.querySelectorAll<HTMLElement>(".live")) void show(element);
}

showAll();
setInterval(showAll, REFRESH_INTERVAL_MS);
document.addEventListener("visibilitychange", showAll);
