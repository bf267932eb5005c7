// The views: sessions, usage, streams.
import * as vscode from 'vscode';
import type { Connection } from '../connection';
import { registerSessionCommands } from './sessions/commands';
import { SessionTree } from './sessions/tree';
import { STREAM_VIEW_TYPE, StreamPanels } from './stream/panel';
import { UsageView } from './usage/view';

/** Registers every view over the one connection. */
export function registerViews(context: vscode.ExtensionContext, connection: Connection): void {
  const panels = new StreamPanels(context.extensionUri, connection);
  const tree = new SessionTree(connection);
  const usage = new UsageView(context, connection);
  context.subscriptions.push(
    panels,
    tree,
    usage,
    panels.onDidShow((sessionId) => tree.select(sessionId)),
    vscode.window.registerWebviewPanelSerializer(STREAM_VIEW_TYPE, panels),
    vscode.window.registerWebviewViewProvider('modeld.usage', usage),
    vscode.commands.registerCommand('modeld.usage.refresh', () => usage.refresh()),
    ...registerSessionCommands(connection, tree, panels),
  );
}
