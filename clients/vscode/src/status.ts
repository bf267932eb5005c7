// The status bar item: how the connection is, what runs, what today has cost.
import * as vscode from 'vscode';
import { ACTIONS } from './advice';
import type { Connection, State } from './connection';
import { counted, today, total } from './money';
import type { DaemonStatus } from './protocol';

const LOOK_MS = 2_000;
const LOOK_AWAY_MS = 15_000; // while nobody looks at this window

const WORDS: Record<State, string> = {
  starting: 'connecting',
  ready: 'connected',
  reconnecting: 'reconnecting',
  missing: 'not installed',
  incompatible: 'incompatible',
  failed: 'not connected',
};
const ICONS: Record<State, string> = {
  starting: '$(loading~spin)',
  ready: '$(circuit-board)',
  reconnecting: '$(loading~spin)',
  missing: '$(warning)',
  incompatible: '$(warning)',
  failed: '$(error)',
};

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('modeld.status', vscode.StatusBarAlignment.Right, 90);
  private readonly listeners: vscode.Disposable[];
  private timer: NodeJS.Timeout | undefined;
  private status: DaemonStatus | undefined;
  private cost = '';
  private counted = -1;
  private day = '';

  constructor(private readonly connection: Connection) {
    this.item.name = 'modeld';
    this.item.command = 'modeld.showStatus';
    this.listeners = [
      connection.onDidChangeState(() => this.look()),
      vscode.window.onDidChangeWindowState(({ focused }) => focused && this.look()),
      vscode.workspace.onDidChangeConfiguration((change) => change.affectsConfiguration('modeld.statusBar') && this.draw()),
    ];
    this.draw();
  }

  /** What the item shows. */
  get text(): string {
    return this.item.text;
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const listener of this.listeners) listener.dispose();
    this.item.dispose();
  }

  /** Asks how the daemon does, draws it, and comes back later. */
  private async look(): Promise<void> {
    clearTimeout(this.timer);
    if (this.connection.state === 'ready') {
      await this.ask().catch(() => undefined);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.look(), vscode.window.state.focused ? LOOK_MS : LOOK_AWAY_MS);
    }
    this.draw();
  }

  private async ask(): Promise<void> {
    this.status = await this.connection.request('daemon/status', {});
    const ended = this.status.calls_total - this.status.running_calls;
    const day = today();
    if (ended === this.counted && day === this.day) return;
    const { groups } = await this.connection.request('usage/aggregate', { group_by: 'day', since: day });
    this.cost = total(groups);
    this.counted = ended;
    this.day = day;
  }

  private draw(): void {
    const { state } = this.connection;
    if (!vscode.workspace.getConfiguration('modeld').get('statusBar', true)) return this.item.hide();
    const running = state === 'ready' ? (this.status?.running_calls ?? 0) : 0;
    const shown = state === 'ready' ? [running ? `$(sync~spin) ${running}` : '', this.cost] : [`modeld: ${WORDS[state]}`];
    this.item.text = [ICONS[state], ...shown].filter(Boolean).join(' ');
    this.item.tooltip = this.tooltip(state, running);
    this.item.accessibilityInformation = { label: `modeld ${WORDS[state]}, ${running} running, ${this.cost} today` };
    const bad = ACTIONS[state] !== undefined;
    this.item.backgroundColor = bad ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    this.item.show();
  }

  private tooltip(state: State, running: number): vscode.MarkdownString {
    const text = new vscode.MarkdownString();
    text.appendMarkdown(`**modeld** ${WORDS[state]}\n\n`);
    if (this.connection.problem) text.appendText(this.connection.problem);
    if (state !== 'ready' || this.status === undefined) return text;
    const { version, clients, queued_calls } = this.status;
    text.appendMarkdown(
      `${running} running${queued_calls ? `, ${queued_calls} waiting` : ''}, ${counted(clients, 'client')}\n\n`,
    );
    text.appendMarkdown(`${this.cost || '$0.00'} today\n\nversion ${version}`);
    return text;
  }
}
