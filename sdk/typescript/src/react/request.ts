/**
 * A hook for requests, whose replies are shown.
 */

import { useCallback, useEffect, useRef, useState } from "react";

import type { CallOptions } from "../core/timeout.js";
import { useClient, type Client } from "./provider.js";

interface RequestClient extends Client {
  request(event: string, data?: unknown, options?: CallOptions): Promise<unknown>;
}

/** What is known of the latest request. */
export interface RequestState<Reply> {
  /** The latest reply. */
  readonly data: Reply | undefined;
  /** Why the latest request has none. */
  readonly error: unknown;
  /** Whether it waits for its reply. */
  readonly pending: boolean;
}

const NOTHING = { data: undefined, error: undefined, pending: false };

/**
 * `send` sends the request, and gives up on the one before; the state follows the latest. What is
 * under way when the component goes is aborted.
 */
export function useRequest<Reply = unknown, Data = unknown>(
  event: string,
  options?: CallOptions,
): RequestState<Reply> & {
  /** Sends the request; rejects as `request` of the client does. */
  readonly send: (data?: Data) => Promise<Reply>;
} {
  const client = useClient<RequestClient>();
  const [state, setState] = useState<RequestState<Reply>>(NOTHING);
  const current = useRef<AbortController>(undefined);
  const wait = useRef(options);
  useEffect(() => {
    wait.current = options;
  });
  useEffect(() => () => current.current?.abort(), [client, event]);
  const send = useCallback(
    async (data?: Data): Promise<Reply> => {
      current.current?.abort();
      const own = (current.current = new AbortController());
      const outer = wait.current?.signal;
      const abort = () => own.abort(outer?.reason);
      if (outer?.aborted) abort();
      outer?.addEventListener("abort", abort);
      const show = (change: Partial<RequestState<Reply>>) => {
        if (current.current === own) setState((before) => ({ ...before, ...change }));
      };
      show({ error: undefined, pending: true });
      try {
        const reply = (await client.request(event, data, { ...wait.current, signal: own.signal })) as Reply;
        show({ data: reply, pending: false });
        return reply;
      } catch (error) {
        show({ error, pending: false });
        throw error;
      } finally {
        outer?.removeEventListener("abort", abort);
      }
    },
    [client, event],
  );
  return { ...state, send };
}
