// The views: sessions, usage, streams.
import type * as vscode from 'vscode';
import type { Connection } from '../connection';

/** Registers every view over the one connection. */
export function registerViews(_context: vscode.ExtensionContext, _connection: Connection): void {}
