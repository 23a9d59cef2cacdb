/**
 * The style sheet of the panel. It is adopted by its shadow root, so a strict content security policy allows it.
 */

export const STYLE = `
:host {
  --ground: light-dark(#f3f6f5, #131b18);
  --sheet: light-dark(#ffffff, #1b2521);
  --raised: light-dark(#e9efec, #24312c);
  --ink: light-dark(#16211d, #e3ebe7);
  --quiet: light-dark(#52615b, #9aaaa3);
  --edge: light-dark(#d3dcd8, #2d3b35);
  --accent: light-dark(#0b6b5c, #55c9b0);
  --accent-soft: light-dark(#d9ebe6, #193a33);
  --on-accent: light-dark(#ffffff, #06231c);
  --out: light-dark(#9a4310, #f0a46b);
  --in: light-dark(#0b6b5c, #55c9b0);
  --key: light-dark(#3c5a86, #9dbdf0);
  --string: light-dark(#7a4a1d, #e3b98f);
  --literal: light-dark(#8a2f5f, #eb9cc4);
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  all: initial;
  color-scheme: light dark;
  container-type: inline-size;
  display: block;
  min-width: 0;
  min-height: 0;
  height: 100%;
}
:host([hidden]) { display: none; }
:host([data-docked]) { position: fixed; z-index: 2147483000; right: max(16px, env(safe-area-inset-right)); bottom: max(16px, env(safe-area-inset-bottom)); width: min(440px, calc(100vw - 32px)); height: min(520px, calc(100dvh - 32px)); }
:host([data-docked][data-closed]) { width: min(270px, calc(100vw - 32px)); height: 44px; }

*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }

.panel { display: grid; grid-template-rows: auto minmax(0, 1fr); height: 100%; overflow: hidden; border: 1px solid var(--edge); border-radius: 16px; background: var(--ground); color: var(--ink); font: 14px/1.4 "Inter", system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; text-align: start; }
:host([data-docked]) .panel { box-shadow: 0 1px 3px rgb(0 0 0 / 12%), 0 12px 40px rgb(0 0 0 / 18%); }
button, input { font: inherit; color: inherit; }
button, summary, [type="checkbox"] { cursor: pointer; }

h2 { margin: 0; font: inherit; }
.bar { display: flex; align-items: center; gap: 9px; width: 100%; height: 44px; padding: 0 16px; border: 0; border-radius: 15px; background: none; font-weight: 650; text-align: start; outline-offset: -4px; }
.bar:hover { color: var(--accent); }
.bar svg { flex: none; width: 14px; height: 14px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; transition: transform 0.2s; }
.bar[aria-expanded="true"] svg { transform: rotate(90deg); }
.bar-state { min-width: 0; overflow: hidden; color: var(--quiet); font-size: 13px; font-weight: 450; text-overflow: ellipsis; white-space: nowrap; }
.totals { margin-inline-start: auto; font: 12px/1 var(--mono); font-variant-numeric: tabular-nums; white-space: nowrap; }
.totals > * { margin-inline-start: 8px; }
.totals .out { color: var(--out); }
.totals .in { color: var(--in); }

.dot { flex: none; width: 9px; height: 9px; border-radius: 50%; background: var(--quiet); }
.open > .dot, .open > .summary > .dot { background: var(--in); }
.waiting > .dot, .waiting > .summary > .dot, .closed > .dot, .closed > .summary > .dot { background: var(--out); }
.connecting > .dot, .connecting > .summary > .dot { background: none; box-shadow: inset 0 0 0 2px var(--quiet); }

.body { display: grid; grid-template-rows: auto minmax(0, 1fr); min-height: 0; }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; padding: 0 16px 12px; border-bottom: 1px solid var(--edge); }
.tools button { height: 30px; padding: 0 11px; border: 1px solid var(--edge); border-radius: 9px; background: var(--sheet); font-size: 13px; white-space: nowrap; }
.tools button:hover { border-color: var(--accent); color: var(--accent); }
.tools button[aria-pressed="true"] { border-color: transparent; background: var(--accent); color: var(--on-accent); }
.tools input[type="search"] { flex: 1 1 110px; min-width: 90px; height: 30px; padding: 0 10px; border: 1px solid var(--edge); border-radius: 9px; background: var(--sheet); font-size: 13px; }
.tools input::placeholder { color: var(--quiet); opacity: 1; }
.tools input[type="search"]:focus { border-color: var(--accent); outline: 1px solid var(--accent); outline-offset: 0; }
.check { display: flex; align-items: center; gap: 6px; color: var(--quiet); font-size: 13px; }
.check input { margin: 0; accent-color: var(--accent); }

.scroller { overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--edge) transparent; outline-offset: -2px; border-radius: 0 0 15px 15px; }
.empty { margin: 0; padding: 16px; color: var(--quiet); font-size: 13px; }
ol { margin: 0; padding: 0; list-style: none; }
li { border-bottom: 1px solid var(--edge); animation: arrive 0.6s ease-out; }
.summary { display: grid; grid-template-columns: 14px minmax(0, 1fr) auto auto; column-gap: 9px; align-items: baseline; padding: 8px 16px; font: 12px/18px var(--mono); list-style: none; outline-offset: -3px; }
summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--raised); }
.state .summary { align-items: center; font-family: inherit; font-size: 12.5px; color: var(--quiet); }
.state .frame-title { font-weight: 550; }
.state.closed .frame-title, .state.waiting .frame-title { color: var(--out); }
.state.open .frame-title { color: var(--in); }
.frame-arrow { font-weight: 700; color: var(--in); }
.out .frame-arrow { color: var(--out); }
.refused .frame-arrow, .refused .frame-role { color: var(--out); }
.frame-title { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-weight: 650; }
.frame-role, .frame-latency { color: var(--quiet); font-weight: 400; }
.frame-size, .frame-time { color: var(--quiet); font: 11px/18px var(--mono); font-variant-numeric: tabular-nums; }
.frame-preview { grid-column: 2 / -1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--quiet); }
details[open] .frame-preview { display: none; }
.json { margin: 0; padding: 0 16px 12px 39px; font: 12px/18px var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
.json-key { color: var(--key); }
.json-string { color: var(--string); }
.json-literal { color: var(--literal); }

@keyframes arrive { from { background: var(--accent-soft); } }

@container (max-width: 420px) {
  .check { margin-inline-start: auto; }
  .tools { gap: 6px; padding-inline: 12px; }
  .tools button { padding-inline: 9px; }
  .tools input[type="search"] { order: 1; flex-basis: 100%; }
  .summary { column-gap: 7px; padding-inline: 12px; }
  .json { padding-inline: 33px 12px; }
  /* The size and the time are on the second line, so that the name has the first. */
  .frame-title { grid-area: 1 / 2 / auto / -1; }
  .frame-preview { grid-area: 2 / 2; }
  .frame-size { grid-area: 2 / 3; }
  .frame-time { grid-area: 2 / 4; }
}

/* A closed panel in a narrow column shows its bar vertically. */
@container (max-width: 80px) {
  .panel { grid-template-rows: 1fr; }
  .bar { flex-direction: column; height: 100%; padding: 16px 0; }
  .bar > span:not(.dot) { writing-mode: vertical-rl; }
  .bar-state { max-height: 50%; }
  .totals { margin: auto 0 0; }
  .totals > * { margin: 8px 0 0; }
}

@media (pointer: coarse) {
  /* iOS zooms in on fields with smaller text. */
  .tools input[type="search"] { height: 36px; font-size: 16px; }
  .tools button { height: 36px; }
  .summary { padding-block: 10px; }
}
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; }
}
`;
