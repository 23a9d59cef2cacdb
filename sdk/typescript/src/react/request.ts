/**
 * A hook that sends requests and holds the state of the latest one.
 */

import { useCallback, useEffect, useRef, useState } from "react";

import type { SwitchboardError } from "../core/errors.js";
import type { CallOptions } from "../core/timeout.js";
import type { Unchecked } from "../core/unchecked.js";
import { useClient, type Client } from "./provider.js";

interface RequestClient extends Client {
  request(event: string, data?: unknown, options?: CallOptions): Promise<unknown>;
}

/** The state of the latest request. */
export interface RequestState<Reply> {
  /** The latest reply. */
  readonly data: Reply | undefined;
  /** The error of the latest request, if it failed: a `SwitchboardError` with its `code`. */
  readonly error: SwitchboardError | undefined;
  /** Whether the latest request awaits its reply. */
  readonly pending: boolean;
}

/** The state of the latest request, and a function that sends the next. */
export interface RequestHook<Reply, Data> extends RequestState<Reply> {
  /** Sends the request and aborts the previous one; rejects as `request` of the client does. */
  readonly send: (...data: undefined extends Data ? [data?: Data] : [data: Data]) => Promise<Reply>;
}

const IDLE = { data: undefined, error: undefined, pending: false };

/**
 * `send` sends the request and aborts the previous one; the state follows the latest. Unmounting aborts
 * a pending request.
 */
export function useRequest<Reply = Unchecked, Data = Unchecked>(
  event: string,
  options?: CallOptions,
): RequestHook<Reply, Data> {
  const client = useClient<RequestClient>();
  const [state, setState] = useState<RequestState<Reply>>(IDLE);
  const current = useRef<AbortController>(undefined);
  const latestOptions = useRef(options);
  useEffect(() => {
    latestOptions.current = options;
  });
  useEffect(() => () => current.current?.abort(), [client, event]);
  const send = useCallback(
    async (data?: Data): Promise<Reply> => {
      current.current?.abort();
      const controller = (current.current = new AbortController());
      const outer = latestOptions.current?.signal;
      const abort = () => controller.abort(outer?.reason);
      if (outer?.aborted) abort();
      outer?.addEventListener("abort", abort);
      const update = (change: Partial<RequestState<Reply>>) => {
        if (current.current === controller) setState((before) => ({ ...before, ...change }));
      };
      update({ error: undefined, pending: true });
      try {
        const reply = (await client.request(event, data, { ...latestOptions.current, signal: controller.signal })) as Reply;
        update({ data: reply, pending: false });
        return reply;
      } catch (error) {
        update({ error: error as SwitchboardError, pending: false });
        throw error;
      } finally {
        outer?.removeEventListener("abort", abort);
      }
    },
    [client, event],
  );
  return { ...state, send };
}
