// The answer of an endpoint as state of a component.

import { useCallback, useEffect, useRef, useState } from "./lib.js";
import { address, get } from "./api.js";

/**
 * Reads an endpoint, again when its address changes, and with `every` again after so many ms while the page is visible.
 * An empty path reads nothing.
 */
export function useQuery(path, query = {}, { every } = {}) {
  const url = path && address(path, query).href;
  const [state, setState] = useState({});
  const [turn, setTurn] = useState(0);
  const latest = useRef();
  latest.current = [path, query];

  useEffect(() => {
    if (!url) return undefined;
    const stop = new AbortController();
    let timer;
    const readOnce = async () => {
      if (!document.hidden) {
        try {
          const data = await get(...latest.current, stop.signal);
          setState({ url, data });
        } catch (problem) {
          if (stop.signal.aborted) return;
          setState((before) => ({ url, problem, data: before.url === url ? before.data : undefined }));
        }
      }
      if (every && !stop.signal.aborted) timer = setTimeout(readOnce, every);
    };
    readOnce();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [url, every, turn]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const { data, problem } = state.url === url ? state : {};
  return { data, problem, isLoading: !data && !problem, reload };
}

/** A call that a button makes: its result or problem, and whether it is under way. */
export function useAction(perform) {
  const [state, setState] = useState({});
  const run = async (...args) => {
    setState({ isRunning: true });
    try {
      setState({ result: await perform(...args) });
    } catch (problem) {
      setState({ problem });
    }
  };
  return { ...state, run };
}
