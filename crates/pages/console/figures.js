// The figures over time: read once, then only what is new, and the values that charts show.

import { useEffect, useMemo, useState } from "./lib.js";
import { get } from "./api.js";

const EVERY_MS = 5000;

const SAMPLES_MAX = { hour: 720, day: 1440 };

/** Appends the new samples of an answer to those before. */
function append(before, answer, max) {
  if (!before) return answer;
  const samples = [...before.samples, ...answer.samples].slice(-max);
  const figures = {};
  for (const name of new Set([...Object.keys(before.figures), ...Object.keys(answer.figures)])) {
    const old = before.figures[name] ?? new Array(before.samples.length).fill(0);
    const added = answer.figures[name] ?? new Array(answer.samples.length).fill(0);
    figures[name] = [...old, ...added].slice(-max);
  }
  return { ...answer, samples, figures };
}

/** The figures of a node, or of all if `node` is empty. */
export function useFigures(range, node) {
  const [state, setState] = useState({});
  useEffect(() => {
    const stop = new AbortController();
    let timer;
    let all;
    setState({});
    const read = async () => {
      if (!document.hidden) {
        try {
          const answer = await get("figures", { range, node, after: all?.samples.at(-1) }, stop.signal);
          all = append(all, answer, SAMPLES_MAX[range]);
          setState({ data: all });
        } catch (problem) {
          if (stop.signal.aborted) return;
          setState({ data: all, problem });
        }
      }
      if (!stop.signal.aborted) timer = setTimeout(read, EVERY_MS);
    };
    read();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [range, node]);
  const figures = useMemo(() => (state.data ? new Figures(state.data) : undefined), [state.data]);
  return { ...state, figures };
}

/** The values of figures for charts. */
class Figures {
  constructor({ samples, interval_ms: interval, figures }) {
    this.length = samples.length;
    this.seconds = interval / 1000;
    this.times = samples.map((sample) => (sample * interval) / 1000);
    this.figures = figures;
  }

  /** The level at each sample; 0 if the figure never had another. */
  level(name) {
    return this.figures[name] ?? new Array(this.length).fill(0);
  }

  /** The increase per second. */
  rate(name) {
    return this.level(name).map((value) => value / this.seconds);
  }

  /** The sum of figures whose names begin with a text, as one. */
  total(prefix) {
    const all = Object.keys(this.figures).filter((name) => name.startsWith(prefix)).map((name) => this.figures[name]);
    return Array.from({ length: this.length }, (_, at) => all.reduce((sum, values) => sum + values[at], 0));
  }

  /** The figures whose names begin with a text and that are not always 0, largest first. */
  named(prefix) {
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    const names = Object.keys(this.figures).filter((name) => name.startsWith(prefix));
    return names.toSorted((a, b) => sum(this.figures[b]) - sum(this.figures[a]));
  }

  has(name) {
    return name in this.figures;
  }

  /** A quantile of the durations of handlers at each sample, in seconds, interpolated as Prometheus does. */
  quantile(share) {
    const bounds = Object.keys(this.figures)
      .filter((name) => name.startsWith("handler_le_"))
      .map((name) => [Number(name.slice(11)), this.figures[name]])
      .sort(([a], [b]) => a - b);
    const calls = this.level("handler_calls");
    return calls.map((total, at) => (total > 0 ? interpolate(bounds, at, share * total) : null));
  }
}

function interpolate(bounds, at, rank) {
  let [below, lower] = [0, 0];
  for (const [bound, counts] of bounds) {
    if (counts[at] >= rank && counts[at] > below) return lower + ((bound - lower) * (rank - below)) / (counts[at] - below);
    [below, lower] = [counts[at], bound];
  }
  return lower;
}
