/**
 * Creating elements, and formatting of sizes and times.
 */

/** Creates an element with a class and children. Strings become text nodes, never HTML. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = "",
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** "74 B", "1.2 kB". */
export function size(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`;
}

/** "0.4 ms", "32 ms". */
export function milliseconds(ms: number): string {
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** "14:05:09.120". */
export function clock(date: Date): string {
  const digits = (number: number, width: number) => `${number}`.padStart(width, "0");
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()];
  return `${parts.map((part) => digits(part, 2)).join(":")}.${digits(date.getMilliseconds(), 3)}`;
}
