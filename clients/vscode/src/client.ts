// One connection by the language client's library. Loaded when the first connection is made, not when the editor starts.
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  type LanguageClientOptions,
  type InitializeResult,
  ResponseError,
  RevealOutputChannelOn,
} from 'vscode-languageclient/node';
import { EventEmitter, LogLevel, type LogOutputChannel } from 'vscode';
import type { Running } from './launch';
import type { ModeldOptions } from './protocol';

export { ResponseError };

export interface LinkOptions {
  running: Running;
  log: LogOutputChannel;
  modeld: ModeldOptions;
  languages: readonly string[];
  notifications: readonly string[];
  told(method: string, params: unknown): void;
  closed(): void;
}

/** Says what fails to the log alone: what a person has to know is said once, by the connection. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export type Client = LanguageClient;

/** A client that waits to be started. It never restarts by itself. */
export function makeClient(options: LinkOptions): Client {
  const { running, log } = options;
  const clientOptions: LanguageClientOptions = {
    documentSelector: options.languages.map((language) => ({ language })),
    outputChannel: log,
    traceOutputChannel: untraced(log),
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    diagnosticCollectionName: 'modeld',
    initializationOptions: { modeld: options.modeld },
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        options.closed();
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    },
  };
  const streams = { reader: running.process.stdout, writer: running.process.stdin };
  const client = new QuietClient('modeld', 'modeld', () => Promise.resolve(streams), clientOptions);
  for (const method of options.notifications) {
    client.onNotification(method, (params: unknown) => options.told(method, params));
  }
  return client;
}

/**
 * The channel as one that is never asked for every message: those hold prompts and, in the first one, keys. How much would be
 * written there is also up to a setting that the library takes from workspaces.
 */
function untraced(log: LogOutputChannel): LogOutputChannel {
  const level = { logLevel: LogLevel.Info, onDidChangeLogLevel: new EventEmitter<LogLevel>().event, trace: () => undefined };
  return new Proxy(log, { get: (target, name) => Reflect.get(name in level ? level : target, name) as unknown });
}

/** The answer to `initialize`. */
export function answerOf(client: Client): InitializeResult | undefined {
  return client.initializeResult;
}
