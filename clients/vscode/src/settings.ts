// What the user has set. A workspace is never asked: these settings name programs and files, and a checkout must not.
import * as vscode from 'vscode';

export interface Settings {
  /** The modeld program; empty where it is to be found. */
  path: string;
  /** Which socket to use; empty for the daemon's own. */
  socket: string;
  /** The models.yaml of a daemon that has to be started; empty for its own. */
  config: string;
  /** The model that `@modeld` and new sessions use; empty for the daemon's default. */
  model: string;
}

const EMPTY: Settings = { path: '', socket: '', config: '', model: '' };

/** The user's settings, with nothing from workspace or folder in them. */
export function settings(): Settings {
  const section = vscode.workspace.getConfiguration('modeld');
  const own = { ...EMPTY };
  for (const name of Object.keys(EMPTY) as (keyof Settings)[]) {
    const value = section.inspect<unknown>(name)?.globalValue;
    if (typeof value === 'string') own[name] = value.trim();
  }
  return own;
}
