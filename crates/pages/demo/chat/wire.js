// The panel with the frames of this page's WebSocket, which is the devtools of the SDK, and the beads on the cord in the
// header.

import { byId, make } from "../dom.js";

/** The limit of beads on the cord at one time. */
const BEADS_MAX = 6;

const narrow = matchMedia("(max-width: 900px)");
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** Mounts the panel. It shows the WebSockets that the page opens afterwards. */
export async function mountWire() {
  const container = byId("wire");
  const onToggle = (open) => byId("board").classList.toggle("wire-closed", !open);
  try {
    const { mount } = await import("../devtools.js");
    const panel = mount(undefined, { container, open: !narrow.matches, onToggle });
    narrow.addEventListener("change", () => {
      panel.open = !narrow.matches;
    });
  } catch {
    const text = "The panel that shows the frames is not in this program. It is built if npm is available.";
    container.append(make("p", "wire-missing", text));
  }
}

/** Animates a bead along the cord, towards the server or from it. */
export function sendBead(direction) {
  const cord = byId("cord");
  if (reducedMotion.matches || document.hidden || cord.childElementCount >= BEADS_MAX) return;
  const bead = make("i", `bead ${direction}`);
  cord.append(bead);
  const ends = [{ left: "0%" }, { left: "100%" }];
  const run = bead.animate(direction === "out" ? ends : ends.reverse(), {
    duration: 700,
    easing: "cubic-bezier(0.45, 0, 0.4, 1)",
  });
  run.onfinish = run.oncancel = () => bead.remove();
}
