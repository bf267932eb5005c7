// The usage view: cost and cache savings by day, model and client, from the daemon's ledger.
import * as vscode from 'vscode';
import type { Connection } from '../../connection';
import { words } from '../../failure';
import { today as dateHere } from '../../money';
import { renderPage, webviewOptions } from '../page';
import type { FromUsage, ToUsage } from './messages';
import { lastDays, summarize } from './sums';

const REFRESH_MS = 10_000; // while it can be seen
const RANGES: readonly number[] = [7, 30, 90];
const RANGE_KEY = 'modeld.usage.days';

export class UsageView implements vscode.WebviewViewProvider, vscode.Disposable {
  private view: vscode.WebviewView | undefined;
  private timer: NodeJS.Timeout | undefined;
  private asked = 0;
  private readonly disposables: vscode.Disposable[];

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly connection: Connection,
  ) {
    this.disposables = [
      connection.onDidChangeState(() => this.refresh()),
      connection.onNotification('session/changed', (changed) => {
        if (changed.change === 'turn_ended') this.refresh();
      }),
    ];
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    view.webview.options = webviewOptions(this.context.extensionUri);
    view.webview.onDidReceiveMessage((message: FromUsage) => {
      if (message.type === 'days' && RANGES.includes(message.days)) void this.context.globalState.update(RANGE_KEY, message.days);
      this.refresh();
    });
    view.onDidChangeVisibility(() => this.refresh());
    view.onDidDispose(() => {
      this.view = undefined;
      clearTimeout(this.timer);
    });
    view.webview.html = renderPage(view.webview, this.context.extensionUri, 'usage', 'Usage');
  }

  refresh(): void {
    clearTimeout(this.timer);
    if (!this.view?.visible) return;
    this.timer = setTimeout(() => this.refresh(), REFRESH_MS);
    if (this.connection.state === 'ready') void this.read();
    else this.post({ type: 'problem', text: this.connection.problem ?? 'modeld is away; the numbers come when it is back.' });
  }

  private async read(): Promise<void> {
    const asked = ++this.asked;
    const days = this.context.globalState.get<number>(RANGE_KEY, 7);
    const today = dateHere();
    const since = lastDays(today, days)[0] ?? today;
    const groups = (group_by: 'day' | 'model' | 'client') => this.connection.request('usage/aggregate', { group_by, since }).then((result) => result.groups);
    try {
      const [day, model, client] = await Promise.all([groups('day'), groups('model'), groups('client')]);
      if (asked === this.asked) this.post({ type: 'usage', data: summarize({ day, model, client }, days, today) });
    } catch (error) {
      if (asked === this.asked) this.post({ type: 'problem', text: words(error) });
    }
  }

  private post(message: ToUsage): void {
    void this.view?.webview.postMessage(message);
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const disposable of this.disposables) disposable.dispose();
  }
}
