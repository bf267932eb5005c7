// How long the connection waits for what, and waiting itself.
import * as vscode from 'vscode';

/** How long what may take, in milliseconds. */
export interface Timing {
  /** From the start of the program to the answer to `initialize`; the program itself gives up after 13 s. */
  handshake: number;
  /** For a method that answers from memory. */
  quick: number;
  /** For a sign of life after that. */
  probe: number;
  /** The pauses before each further attempt at a first connection, and at one that was lost. */
  retries: readonly number[];
  reconnects: readonly number[];
  /** A connection that lasts shorter than this counts as one more failure. */
  settled: number;
}

export const TIMING: Timing = {
  handshake: 15_000,
  quick: 20_000,
  probe: 5_000,
  retries: [500, 1_500],
  reconnects: [100, 400, 1_000, 2_000, 4_000, 8_000, 8_000],
  settled: 10_000,
};

/** Resolves after so many milliseconds, or once `signal` is aborted, with nothing. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve(undefined);
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener('abort', end);
  });
}

/** A pause that ends nothing once it was cancelled. */
export function cancellableDelay(milliseconds: number): { elapsed: Promise<void>; cancel(): void } {
  let timer: NodeJS.Timeout;
  const elapsed = new Promise<void>((resolve) => (timer = setTimeout(resolve, milliseconds)));
  return { elapsed, cancel: () => clearTimeout(timer) };
}

/** Waits for `work`, or throws CancellationError once `token` is cancelled. */
export async function untilCancelled(
  work: Promise<void> | undefined,
  token: vscode.CancellationToken | undefined,
): Promise<void> {
  if (work === undefined || token === undefined) return work;
  let listener: vscode.Disposable | undefined;
  const cancelled = new Promise<never>((_, reject) => {
    listener = token.onCancellationRequested(() => reject(new vscode.CancellationError()));
  });
  try {
    await Promise.race([work, cancelled]);
  } finally {
    listener?.dispose();
  }
}
