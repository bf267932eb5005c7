// Where the editor comes in: everything is registered at once, and the daemon is connected to behind it.
import * as vscode from 'vscode';
import { Connection } from './connection';
import { registerViews } from './views';

/** What other extensions, and tests, get from `getExtension('modeld.modeld').exports`. */
export interface Api {
  connection: Connection;
}

export function activate(context: vscode.ExtensionContext): Api {
  const log = vscode.window.createOutputChannel('modeld', { log: true });
  const connection = new Connection({ log, keys: () => Promise.resolve({}) });
  context.subscriptions.push(log, connection);
  registerViews(context, connection);
  void connection.start();
  return { connection };
}

export function deactivate(): void {
  // Subscriptions are disposed of by the editor; the daemon lives on.
}
