export function spawnServer(
  binary: string,
  args: readonly string[],
): Promise<{ readonly port: number; stop(signal: NodeJS.Signals): Promise<NodeJS.Signals | null> }>;

export function freePort(): Promise<number>;
