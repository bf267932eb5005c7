// The commands of the palette that aren't about one session.
import * as os from 'node:os';
import * as vscode from 'vscode';
import { ACTIONS, LOG, RECONNECT, RESTART } from './advice';
import type { Connection } from './connection';
import { wasCancelled, words } from './failure';
import { install } from './install';
import { nameOf, priceOf } from './models/information';
import { counted } from './money';
import type { ModelInfo, Problem } from './protocol';
import { isVariable, type Keys } from './secrets';
import { settings } from './settings';

const RESTART_MS = 60_000;

const NEW_CONFIG = `# models.yaml of modeld: providers and models. Keys don't belong here: name the variable that holds one.
adapters:
  # local: {type: ollama}
`;

export function registerCommands(
  context: vscode.ExtensionContext,
  connection: Connection,
  keys: Keys,
  log: vscode.LogOutputChannel,
): void {
  const commands = new Commands(connection, keys);
  const on = (name: string, run: () => unknown): void => {
    context.subscriptions.push(vscode.commands.registerCommand(`modeld.${name}`, () => told(run)));
  };
  on('openConfig', () => commands.openConfig());
  on('checkConfig', () => commands.checkConfig());
  on('reloadConfig', () => commands.reloadConfig());
  on('reconnect', () => connection.restart());
  on('restartDaemon', () => commands.restartDaemon());
  on('showLog', () => log.show());
  on('showStatus', () => commands.showStatus());
  on('choosePath', () => commands.choosePath());
  on('install', () => install(connection));
  on('pickModel', () => commands.pickModel());
  on('newSession', () => commands.newSession());
  on('exportSession', () => vscode.commands.executeCommand('modeld.session.export'));
  on('setKey', () => commands.setKey());
  on('removeKey', () => commands.removeKey());
}

/** Runs a command and says in words what goes wrong. */
async function told(run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!wasCancelled(error)) void vscode.window.showErrorMessage(words(error));
  }
}

class Commands {
  constructor(
    private readonly connection: Connection,
    private readonly keys: Keys,
  ) {}

  // ---- models.yaml

  async openConfig(): Promise<void> {
    await vscode.window.showTextDocument(await this.configFile());
  }

  /** The daemon's config file, made where there is none yet. */
  private async configFile(): Promise<vscode.Uri> {
    const { config_file } = await this.connection.request('daemon/status', {});
    if (!config_file) throw new Error('This daemon has no config file; it was started without one.');
    const file = vscode.Uri.file(config_file);
    const there = await vscode.workspace.fs.stat(file).then(
      () => true,
      () => false,
    );
    if (!there) {
      const yes = await vscode.window.showInformationMessage(
        `There is no ${config_file} yet. Create it?`,
        { modal: true },
        'Create',
      );
      if (yes === undefined) throw new vscode.CancellationError();
      await vscode.workspace.fs.writeFile(file, new TextEncoder().encode(NEW_CONFIG));
    }
    return file;
  }

  async checkConfig(): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    const open = document?.languageId === 'modeld' ? document : undefined;
    const params = open ? { file: open.uri.fsPath, text: open.getText() } : {};
    const { valid, problems } = await this.connection.request('config/check', params);
    if (valid && !problems.length) {
      void vscode.window.showInformationMessage('models.yaml is valid.');
      return;
    }
    await this.showProblems(problems, valid ? 'models.yaml is valid, with warnings' : 'models.yaml has errors');
  }

  async reloadConfig(): Promise<void> {
    const { applied, problems, version } = await this.connection.request('config/reload', {});
    if (applied) void vscode.window.showInformationMessage(`models.yaml is in force (version ${version}).`);
    else await this.showProblems(problems, 'models.yaml has errors: what was in force before stays');
  }

  private async showProblems(problems: readonly Problem[], what: string): Promise<void> {
    const [first] = problems;
    if (first === undefined) return;
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    const go = await vscode.window.showWarningMessage(`${what}. Line ${first.line}: ${first.message}${more}`, 'Go There');
    if (go === undefined) return;
    const at = new vscode.Range(first.line - 1, first.column - 1, first.end_line - 1, first.end_column - 1);
    await vscode.window.showTextDocument(vscode.Uri.file(first.file), { selection: at });
  }

  // ---- the daemon

  /** Ends the shared daemon once its calls have ended, and connects to the next one. */
  async restartDaemon(): Promise<void> {
    if (this.connection.state !== 'ready') return this.replaceDaemon();
    const { running_calls, clients, epoch } = await this.connection.request('daemon/status', {});
    if (running_calls > 0 || clients > 1) {
      const detail = `Connected: ${counted(clients, 'client')}. Running: ${counted(running_calls, 'call')}. Calls may end; clients connect again by themselves.`;
      const yes = await vscode.window.showWarningMessage(
        'Restart the daemon for every client?',
        { modal: true, detail },
        'Restart',
      );
      if (yes === undefined) return;
    }
    const title = 'Restarting modeld';
    await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, async () => {
      await this.connection.request('daemon/stop', {});
      await this.untilAnother(epoch);
    });
  }

  private async replaceDaemon(): Promise<void> {
    const detail = 'It is ended by `modeld stop --force`: calls of other clients that still run there end too.';
    const yes = await vscode.window.showWarningMessage(
      'End a daemon that may still run, and start another?',
      { modal: true, detail },
      'Restart',
    );
    if (yes === undefined) return;
    const title = 'Restarting modeld';
    await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, () => this.connection.replace());
  }

  private async untilAnother(epoch: string): Promise<void> {
    const end = Date.now() + RESTART_MS;
    while (Date.now() < end) {
      if (this.connection.problem !== undefined) return; // it is shown already
      if (this.connection.daemon !== undefined && this.connection.daemon.epoch !== epoch) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(
      'The daemon has not ended: a call of another client may still run. `modeld stop --force` in a terminal ends it.',
    );
  }

  async showStatus(): Promise<void> {
    const { state, problem } = this.connection;
    const trouble = ACTIONS[state];
    const rest = [
      { title: 'Pick Default Model', command: 'modeld.pickModel' },
      { title: 'New Session', command: 'modeld.newSession' },
      { title: 'Show Usage', command: 'modeld.usage.focus' },
      { title: 'Open models.yaml', command: 'modeld.openConfig' },
      RECONNECT,
      RESTART,
      LOG,
    ];
    const items = (trouble ?? rest).map(({ title, command }) => ({ label: title, command }));
    const placeHolder = problem ?? (state === 'ready' ? await this.summary() : `modeld is ${state}`);
    const chosen = await vscode.window.showQuickPick(items, { title: 'modeld', placeHolder });
    if (chosen !== undefined) await vscode.commands.executeCommand(chosen.command);
  }

  private async summary(): Promise<string> {
    const status = await this.connection.request('daemon/status', {});
    return `Version ${status.version}, ${counted(status.clients, 'client')}, ${status.running_calls} running, up ${Math.round(status.uptime_seconds / 60)} min`;
  }

  async choosePath(): Promise<void> {
    const chosen = await vscode.window.showOpenDialog({
      title: 'The modeld program',
      openLabel: 'Use',
      canSelectMany: false,
      defaultUri: vscode.Uri.file(os.homedir()),
    });
    const [file] = chosen ?? [];
    if (file === undefined) return;
    // The change of the setting has the connection made anew.
    await vscode.workspace.getConfiguration('modeld').update('path', file.fsPath, vscode.ConfigurationTarget.Global);
  }

  // ---- models and sessions

  async pickModel(): Promise<void> {
    const { models } = await this.connection.request('model/list', {});
    if (!models.length) throw new Error('No model is configured: "modeld: Open models.yaml" is the place to begin.');
    const current = settings().model;
    const items = models.map((model) => ({ ...itemOf(model, current), id: model.id as string | undefined }));
    items.unshift({ label: 'The default of models.yaml', description: current ? '' : 'current', detail: '', id: undefined });
    const chosen = await vscode.window.showQuickPick(items, {
      title: 'Model of @modeld and of new sessions',
      matchOnDescription: true,
      matchOnDetail: true,
    });
    if (chosen === undefined) return;
    await vscode.workspace.getConfiguration('modeld').update('model', chosen.id, vscode.ConfigurationTarget.Global);
  }

  async newSession(): Promise<void> {
    const model = settings().model;
    const { session } = await this.connection.request('session/create', model ? { model } : {});
    await vscode.commands.executeCommand('modeld.session.open', { session_id: session.session_id });
  }

  // ---- keys

  async setKey(): Promise<void> {
    const name = await this.askForVariable();
    if (name === undefined) return;
    const value = await vscode.window.showInputBox({
      title: `Value of ${name}`,
      prompt:
        'Kept in the secret storage of the editor and lent to the daemon in memory. Written to no file of models or settings.',
      password: true,
      ignoreFocusOut: true,
      validateInput: (text) => (text.trim() ? undefined : 'Paste the key.'),
    });
    if (value === undefined) return;
    await this.keys.set(name, value); // the connection is made anew with it
    void vscode.window.showInformationMessage(`${name} is stored. Calls of this editor use it from now on.`);
  }

  private async askForVariable(): Promise<string | undefined> {
    const wanted = await this.variables();
    const other = 'Another variable...';
    const items = [...wanted.map(([label, description]) => ({ label, description })), { label: other, description: '' }];
    const chosen = items.length > 1 ? await vscode.window.showQuickPick(items, { title: 'Which key?' }) : items[0];
    if (chosen?.label !== other) return chosen?.label;
    return vscode.window.showInputBox({
      title: 'Name of the variable',
      prompt: 'As models.yaml names it in api_key_env, or as the provider calls it',
      ignoreFocusOut: true,
      validateInput: (text) => (isVariable(text.trim()) ? undefined : 'Letters, digits and underscores, no digit first.'),
    });
  }

  /** The variables that the configured providers read, those without a value first. */
  private async variables(): Promise<[name: string, provider: string][]> {
    const { providers } = await this.connection.request('provider/list', {});
    const found = providers
      .map((provider) => ({ provider, name: /^environment variable (\S+)$/.exec(provider.key_source ?? '')?.[1] }))
      .filter(({ name }) => name !== undefined && isVariable(name))
      .sort(
        (a, b) => Number(b.provider.availability === 'not_configured') - Number(a.provider.availability === 'not_configured'),
      );
    const had = new Set(await this.keys.names());
    const words = (name: string, missing: boolean) => (had.has(name) ? ', stored here' : missing ? ', has no key' : '');
    return found.map(({ provider, name }) => [
      name as string,
      provider.name + words(name as string, provider.availability === 'not_configured'),
    ]);
  }

  async removeKey(): Promise<void> {
    const names = await this.keys.names();
    if (!names.length) {
      void vscode.window.showInformationMessage('This editor stores no key for modeld.');
      return;
    }
    const name = await vscode.window.showQuickPick(names, { title: 'Remove which key?' });
    if (name === undefined) return;
    await this.keys.remove(name);
    void vscode.window.showInformationMessage(`${name} is removed.`);
  }
}

function itemOf(model: ModelInfo, current: string): vscode.QuickPickItem {
  const chosen = model.id === current || model.aliases.includes(current);
  const notes = [
    model.provider,
    chosen && 'current',
    model.default && 'default',
    model.availability !== 'available' && model.availability,
  ];
  return {
    label: nameOf(model),
    description: notes.filter(Boolean).join(', '),
    detail: [priceOf(model.pricing), model.reason].filter(Boolean).join('; '),
  };
}
