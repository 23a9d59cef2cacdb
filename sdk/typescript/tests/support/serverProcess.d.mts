export function spawnServer(
  binary: string,
  args: readonly string[],
): Promise<{
  readonly port: number;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null; log: string }>;
  stop(signal: NodeJS.Signals): Promise<NodeJS.Signals | null>;
}>;

export function freePort(): Promise<number>;
