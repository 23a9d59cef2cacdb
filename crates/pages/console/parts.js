// Small parts that pages are made of.

import { html, useEffect, useRef, useState } from "./lib.js";

/** The heading of a page with its controls. It takes the focus, so that a screen reader reads it after a change of page. */
export function Head({ title, children }) {
  const heading = useRef();
  useEffect(() => {
    document.title = `${title} · Switchboard`;
  }, [title]);
  return html`<div class="head"><h1 ref=${heading}>${title}</h1>${children}</div>`;
}

export function Notice({ problem }) {
  return problem ? html`<p class="problem" role="alert">${problem.message}</p>` : null;
}

/**
 * A table. `columns` are `{ title, cell, numeric, wrap, name }`; the key of a row is `rowKey(row)`.
 */
export function Table({ label, columns, rows, rowKey, empty, isLoading }) {
  if (isLoading) return html`<p class="empty" role="status">Loading …</p>`;
  if (!rows?.length) return html`<p class="empty">${empty}</p>`;
  const kind = ({ numeric, wrap, name }) => [numeric && "n", wrap && "wrap", name && "name"].filter(Boolean).join(" ");
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table>
        <thead><tr>${columns.map((column) => (column.title
          ? html`<th scope="col" class=${kind(column)}>${column.title}</th>` : html`<td></td>`))}</tr></thead>
        <tbody>
          ${rows.map((row) => html`
            <tr key=${rowKey(row)}>${columns.map((column) => html`<td class=${kind(column)}>${column.cell(row)}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>`;
}

/** Goes through pages of a list; `places` are the starts of the pages before. */
export function usePages(reset) {
  const [places, setPlaces] = useState([]);
  useEffect(() => setPlaces([]), [reset]);
  return {
    after: places.at(-1),
    number: places.length + 1,
    next: (place) => setPlaces([...places, place]),
    back: () => setPlaces(places.slice(0, -1)),
  };
}

export function Pager({ pages, next, text }) {
  if (!next && pages.number === 1) return text ? html`<div class="pager"><span>${text}</span></div>` : null;
  return html`
    <div class="pager">
      <span>${text ? `${text} · ` : ""}page ${pages.number}</span>
      <button disabled=${pages.number === 1} onClick=${pages.back}>Previous</button>
      <button disabled=${!next} onClick=${() => pages.next(next)}>Next</button>
    </div>`;
}

/** A text field of a form with its label. */
export function Field({ label, value, onInput, wide, hint, ...rest }) {
  return html`
    <label class="field ${wide ? "wide" : ""}">${label}
      <input value=${value} onInput=${(event) => onInput(event.currentTarget.value)} autocomplete="off" spellcheck="false"
        autocapitalize="off" placeholder=${hint} ...${rest} />
    </label>`;
}

export function Choice({ label, value, options, onChange, isInline }) {
  return html`
    <label class=${isInline ? "inline" : "field"}><span>${label}</span>
      <select value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>
        ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
      </select>
    </label>`;
}

export function Segments({ label, value, options, onChange }) {
  return html`
    <div class="segments" role="group" aria-label=${label}>
      ${options.map(([key, text]) => html`
        <button type="button" aria-pressed=${key === value ? "true" : "false"} onClick=${() => onChange(key)}>${text}</button>`)}
    </div>`;
}

/** A button that asks once more before it acts. */
export function Confirm({ children, question, onConfirm, disabled }) {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) {
    return html`<button class="danger" disabled=${disabled} onClick=${() => setAsking(true)}>${children}</button>`;
  }
  const confirm = () => {
    setAsking(false);
    onConfirm();
  };
  return html`
    <span role="group" aria-label=${question}>${question}${" "}
      <button class="danger" onClick=${confirm} ref=${(button) => button?.focus()}>${children}</button>${" "}
      <button onClick=${() => setAsking(false)}>Cancel</button>
    </span>`;
}

export function State({ kind, children }) {
  return html`<span class="state ${kind ?? ""}">${children}</span>`;
}

export function Chips({ names, link }) {
  if (!names?.length) return html`<span class="quiet">none</span>`;
  return html`
    <span class="chips">
      ${names.map((name) => (link ? html`<a class="chip mono" href=${link(name)}>${name}</a>` : html`<span class="chip mono">${name}</span>`))}
    </span>`;
}

/** Code with a button that copies it. */
export function Code({ title, code }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(code);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`
    <div class="code-head"><span>${title}</span><button type="button" onClick=${copy}>${isCopied ? "Copied" : "Copy"}</button></div>
    <pre class="code" tabindex="0" role="region" aria-label=${title}>${code}</pre>`;
}

export function Json({ value, label }) {
  return html`<pre class="code json" tabindex="0" role="region" aria-label=${label}>${JSON.stringify(value, null, 2)}</pre>`;
}
