// Where the editor comes in: everything is registered at once, and the daemon is connected to behind it.
import * as vscode from 'vscode';
import { registerAdvice } from './advice';
import { registerCommands } from './commands';
import { Connection } from './connection';
import { registerLanguage } from './language';
import { type ModelProvider, registerModels } from './models';
import { registerParticipant } from './participant';
import { Keys } from './secrets';
import { StatusBar } from './status';
import { registerViews } from './views';

/** When the bundle began to be loaded; see esbuild.mjs. */
declare const loadingSince: number;
const loadedIn = performance.now() - loadingSince;

/** What `getExtension('modeld.modeld').exports` gives. `activatedIn` is what loading and activation took, in milliseconds. */
export interface Api {
  connection: Connection;
  models: ModelProvider;
  keys: Keys;
  statusBar: StatusBar;
  activatedIn: number;
}

const PLACES = ['modeld.path', 'modeld.socket', 'modeld.config'];

export function activate(context: vscode.ExtensionContext): Api {
  const begun = performance.now(); // between loading and here the editor prepares what it gives us
  const log = vscode.window.createOutputChannel('modeld', { log: true });
  const keys = new Keys(context.secrets);
  const connection = new Connection({ log, keys: () => keys.all() });
  const statusBar = new StatusBar(connection);
  context.subscriptions.push(
    log,
    keys,
    connection,
    statusBar,
    keys.onDidChange(() => void connection.restart()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (PLACES.some((name) => change.affectsConfiguration(name))) void connection.restart();
    }),
  );
  registerAdvice(context, connection);
  registerCommands(context, connection, keys, log);
  const models = registerModels(context, connection);
  registerParticipant(context, connection);
  registerLanguage(context, connection);
  registerViews(context, connection);
  setImmediate(() => void connection.start()); // what the editor waits for is done by then
  return { connection, models, keys, statusBar, activatedIn: loadedIn + performance.now() - begun };
}

export function deactivate(): void {
  // Subscriptions are disposed of by the editor; the daemon lives on.
}
