/**
 * The `code` of the error that a promise rejects with or a function throws.
 */

export async function rejectionCode(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => `resolved: ${JSON.stringify(value)}`,
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  );
}

export function thrownCode(call: () => unknown): unknown {
  try {
    return `returned: ${JSON.stringify(call())}`;
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}
