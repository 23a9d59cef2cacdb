/**
 * The reasons for which a connection could not be opened, or ended, in words.
 */

import { ConnectFailedError, DisconnectedError, NO_CLOSE_FRAME } from "./errors.js";

/** What a WebSocket reports when it fails. Browsers report nothing; `ws`, Node, Deno and Bun have a message. */
export interface SocketProblem {
  readonly message?: string;
  readonly error?: unknown;
}

/** The error for a connection that did not open, or closed before the handshake was complete. */
export function connectError(address: string, code: number, reason: string, problem: SocketProblem = {}): ConnectFailedError {
  const why = code === NO_CLOSE_FRAME ? whyRefused(problem) : `the server closed the connection with ${inWords(code, reason)}`;
  return new ConnectFailedError(`cannot connect to ${address}: ${why}`, { closeCode: code, reason }, problem.error ?? undefined);
}

/** The error of calls that wait for something from a connection that has closed. */
export function disconnectedError(closeCode: number, reason: string): DisconnectedError {
  const how = closeCode === NO_CLOSE_FRAME ? "was lost" : `was closed with ${inWords(closeCode, "")}`;
  return new DisconnectedError(`the connection ${how}${reason && `: ${reason}`}`, { closeCode, reason });
}

function whyRefused({ message }: SocketProblem): string {
  // The wording of `ws`.
  const [, status] = /server response: (\d{3})/.exec(message ?? "") ?? [];
  if (!status) return message || "connection refused, or no WebSocket server there";
  return `the server answered with status ${status}`;
}

function inWords(code: number, reason: string): string {
  return `code ${code}${reason && `: ${reason}`}`;
}
