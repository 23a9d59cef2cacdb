// A chart over time. The values of its last sample are also text, in the legend.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";

const { uPlot } = globalThis;

/** A colour of the style sheet. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Re-renders when the system changes between light and dark. */
function useScheme() {
  const [scheme, setScheme] = useState(0);
  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => setScheme((before) => before + 1);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  return scheme;
}

/** Steps of axes with bytes: powers of two. */
const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);

function options(series, unit, width, isBinary) {
  const font = `11px ${colour("--sans")}`;
  const axis = { stroke: colour("--quiet"), font, grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: 148,
    legend: { show: false },
    cursor: { points: { size: 5 }, drag: { x: true, y: false }, sync: { key: "overview" } },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 70, values: "{HH}:{mm}" },
      { ...axis, size: 68, space: 36, ...(isBinary ? { incrs: BINARY } : {}), values: (_, splits) => splits.map((value) => unit(value)) },
    ],
    series: [
      {},
      ...series.map(({ label, place }) => ({
        label,
        stroke: colour(`--s${place}`),
        width: 1.25,
        points: { show: false },
        fill: series.length === 1 ? `${colour(`--s${place}`)}1f` : undefined,
      })),
    ],
  };
}

/**
 * `series` are `{ label, values, place }`; `place` is the number of the colour, 1 to 8. `unit` makes text of a value; `isBinary` says that it is
 * one of bytes.
 */
export function Chart({ title, times, series, unit, isBinary, empty }) {
  const plot = useRef();
  const box = useRef();
  const scheme = useScheme();
  const shape = series.map(({ label, place }) => `${label}:${place}`).join();
  const data = useMemo(() => [times, ...series.map(({ values }) => values)], [times, shape, series]);
  const latest = useRef(data);
  latest.current = data;

  useLayoutEffect(() => {
    if (!series.length) return undefined;
    const chart = new uPlot(options(series, unit, box.current.clientWidth, isBinary), latest.current, box.current);
    plot.current = chart;
    const resized = new ResizeObserver(() => chart.setSize({ width: box.current?.clientWidth ?? 0, height: 148 }));
    resized.observe(box.current);
    return () => {
      resized.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [shape, scheme]);
  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  return html`
    <section class="sheet chart" aria-label=${title}>
      <header><h2>${title}</h2></header>
      ${series.length
        ? html`<div class="plot" ref=${box} aria-hidden="true"></div>
          <ul class="legend">
            ${series.map(({ label, place, values }) => html`<li><i class="c${place}"></i>${label}<b>${unit(values.at(-1) ?? 0)}</b></li>`)}
          </ul>`
        : html`<p class="empty">${empty ?? "None in this time."}</p>`}
    </section>`;
}
