// Keys in the editor's secret storage, lent to the daemon in memory at each connect; in no setting and no file of ours.
import * as vscode from 'vscode';

const PLACE = 'modeld.keys'; // one secret with all of them: every window sees the same, and no name stands outside of it
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** The keys of this user, by the name of the variable that `models.yaml` reads them from. */
export class Keys implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly listener: vscode.Disposable;

  /** Fires when a key was stored or removed, here or in another window. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly storage: vscode.SecretStorage) {
    this.listener = storage.onDidChange(({ key }) => key === PLACE && this.changed.fire());
  }

  /** Names and values, to be lent. */
  async all(): Promise<Record<string, string>> {
    const stored = await this.storage.get(PLACE);
    return stored === undefined ? {} : parse(stored);
  }

  async names(): Promise<string[]> {
    return Object.keys(await this.all()).sort();
  }

  async set(name: string, value: string): Promise<void> {
    if (!isVariable(name)) throw new Error(`${name} can't be the name of a variable; use letters, digits and underscores.`);
    await this.storage.store(PLACE, JSON.stringify({ ...(await this.all()), [name]: value.trim() }));
  }

  async remove(name: string): Promise<void> {
    const { [name]: _removed, ...rest } = await this.all();
    await (Object.keys(rest).length ? this.storage.store(PLACE, JSON.stringify(rest)) : this.storage.delete(PLACE));
  }

  dispose(): void {
    this.listener.dispose();
    this.changed.dispose();
  }
}

export function isVariable(name: string): boolean {
  return VARIABLE.test(name);
}

function parse(stored: string): Record<string, string> {
  try {
    const found = Object.entries(JSON.parse(stored) as object);
    return Object.fromEntries(found.filter(([name, value]) => isVariable(name) && typeof value === 'string' && value));
  } catch {
    return {};
  }
}
