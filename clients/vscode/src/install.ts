// Getting modeld onto the machine, from a terminal that the user sees.
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { findProgram } from './launch';
import { settings } from './settings';

const LOOK_MS = 2_000;
const LOOK_FOR_MS = 10 * 60_000;

const WAYS = [
  { label: 'pipx install modeld', detail: 'In an environment of its own' },
  { label: 'uv tool install modeld', detail: 'The same, by uv' },
  { label: 'python3 -m pip install --user modeld', detail: 'Into your own Python packages' },
];

/** Puts the command into a terminal, for the user to run, and connects as soon as the program is there. */
export async function install(connection: Connection): Promise<void> {
  const way = await vscode.window.showQuickPick(WAYS, { title: 'Install modeld', placeHolder: 'It needs Python 3.11 or newer' });
  if (way === undefined) return;
  const terminal = vscode.window.createTerminal({ name: 'Install modeld' });
  terminal.show();
  terminal.sendText(way.label, false);
  void vscode.window.showInformationMessage('Press Enter in the terminal. This window connects by itself once modeld is there.');
  await connectOnceInstalled(connection);
}

async function connectOnceInstalled(connection: Connection): Promise<void> {
  const end = Date.now() + LOOK_FOR_MS;
  while (Date.now() < end && connection.state === 'missing') {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    if (findProgram(settings().path) !== undefined) await connection.start();
  }
}
