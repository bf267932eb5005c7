// What a person is told when there is no daemon: once, in words, with what can be done about it.
import * as vscode from 'vscode';
import type { Connection, State } from './connection';

type Action = { title: string; command: string };

const INSTALL: Action = { title: 'Install...', command: 'modeld.install' };
const PATH: Action = { title: 'Choose Path...', command: 'modeld.choosePath' };
const RECONNECT: Action = { title: 'Reconnect', command: 'modeld.reconnect' };
const RESTART: Action = { title: 'Restart Daemon', command: 'modeld.restartDaemon' };
const LOG: Action = { title: 'Show Log', command: 'modeld.showLog' };
const CONFIG: Action = { title: 'Open models.yaml', command: 'modeld.openConfig' };

export const ACTIONS: Partial<Record<State, Action[]>> = {
  missing: [INSTALL, PATH],
  incompatible: [RESTART, PATH, LOG],
  failed: [RECONNECT, RESTART, PATH, LOG],
};

/** Shows a problem of the connection, and not again before it was well in between. */
export function registerAdvice(context: vscode.ExtensionContext, connection: Connection): void {
  let told: string | undefined;
  const tell = async (state: State): Promise<void> => {
    if (state === 'ready') told = undefined;
    const actions = ACTIONS[state];
    const problem = connection.problem;
    if (actions === undefined || problem === undefined || problem === told) return;
    told = problem;
    const show = state === 'missing' ? vscode.window.showWarningMessage : vscode.window.showErrorMessage;
    const chosen = await show(problem, ...actions);
    if (chosen !== undefined) await vscode.commands.executeCommand(chosen.command);
  };
  context.subscriptions.push(
    connection.onDidChangeState((state) => void tell(state)),
    connection.onNotification('config/changed', async ({ applied, problems }) => {
      if (applied || !problems.length) return;
      const [first] = problems;
      const words = `models.yaml is not in force as it is: line ${first?.line}: ${first?.message}`;
      const chosen = await vscode.window.showWarningMessage(words, CONFIG);
      if (chosen !== undefined) await vscode.commands.executeCommand(chosen.command);
    }),
  );
}

export { CONFIG, LOG, RECONNECT, RESTART };
