// The first answer of a daemon, and every way in which it may not come, in words that say what to do.
import { FAILED, sentence, stopped, words } from './failure';
import type { Running } from './launch';
import type { ModeldCapabilities } from './protocol';
import { cancellableDelay, delay } from './timing';

export interface Daemon extends ModeldCapabilities {
  version: string;
}

/** Why an attempt came to nothing. `final` is what another attempt won't change. */
export class AttemptFailed extends Error {
  constructor(
    readonly state: 'missing' | 'incompatible' | 'failed',
    message: string,
    readonly final = false,
  ) {
    super(message);
  }
}

/** Waits for the answer to `initialize`, no longer than that may take, and turns what went wrong into words. */
export async function handshake(started: Promise<void>, running: Running, atMost_ms: number): Promise<void> {
  started.catch(() => undefined);
  const timer = cancellableDelay(atMost_ms);
  // A program that ends may have answered with its reason just before.
  const ended = running.ended.then(async (how) => (await delay(100), how));
  try {
    const first = await Promise.race([
      started.then(
        () => 'started' as const,
        (error: unknown) => ({ error }),
      ),
      ended.then((how) => ({ how })),
      timer.elapsed.then(() => 'silent' as const),
    ]);
    if (first === 'started') return;
    if (first === 'silent') throw new AttemptFailed('failed', silentWords(atMost_ms, running), true);
    if ('how' in first) throw endedEarly(first.how, running);
    throw await refusal(first.error, running);
  } finally {
    timer.cancel();
  }
}

async function refusal(error: unknown, running: Running): Promise<AttemptFailed> {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code !== 'number' || CONNECTION_ENDED.has(code)) {
    const how = await Promise.race([running.ended, delay(500).then(() => 'it closed the connection')]);
    return endedEarly(how, running);
  }
  const message = words(error);
  if (code === FAILED) return new AttemptFailed('failed', sentence(message)); // the program's own: no daemon can be had
  return new AttemptFailed('incompatible', `modeld refused this extension: ${stopped(message)}`, true);
}

/** vscode-jsonrpc's own codes: write and read failed, pending when the connection ended, no connection. */
export const CONNECTION_ENDED = new Set([-32099, -32098, -32097, -32096]);
export const NOT_INSTALLED = 'modeld is not installed, or not where this editor looks for programs.';

/** What the daemon says of itself in its answer to `initialize`. */
export function daemonOf(
  answer: { capabilities: { experimental?: unknown }; serverInfo?: { version?: string } } | undefined,
): Daemon {
  const modeld = (answer?.capabilities.experimental as { modeld?: ModeldCapabilities } | undefined)?.modeld;
  if (modeld === undefined) {
    const message =
      'The program that answered is not modeld, or too old for this extension. Check the setting modeld.path, or update modeld.';
    throw new AttemptFailed('incompatible', message, true);
  }
  return { ...modeld, version: answer?.serverInfo?.version ?? 'unknown' };
}

function endedEarly(how: string, running: Running): AttemptFailed {
  const last = running.lastWords();
  return new AttemptFailed('failed', last ? sentence(last) : `modeld did not start: ${how}. Its log says more.`);
}

function silentWords(milliseconds: number, running: Running): string {
  const last = running.lastWords();
  const said = `modeld was started but did not answer within ${Math.round(milliseconds / 1000)} s.`;
  return `${said} ${last ? sentence(last) : 'End it with `modeld stop --force` in a terminal, then reconnect.'}`;
}
