// The stream view: one panel a session. What arrives between two frames of the webview goes to it as one message.
import * as vscode from 'vscode';
import type { SessionSnapshot, StreamEvent } from '../../protocol';
import type { Connection } from '../../connection';
import { renderPage, webviewOptions } from '../page';
import { sentence, wasCancelled, words } from '../../failure';
import { oneLine, titleOf } from '../sessions/present';
import { Follower, type FollowerSink } from './follower';
import type { FromWebview, Head, Operation, ToWebview } from './messages';
import { Transcript, merge } from './transcript';

export const STREAM_VIEW_TYPE = 'modeld.stream';
const SHOWN_MESSAGES = 200; // of a long session; earlier ones come when asked for
const TITLE_LENGTH = 60; // of a session that is named by its first message
const UNPAINTED_MS = 500; // a webview that tells of no frame for so long gets the next one anyway

export class StreamPanels implements vscode.Disposable, vscode.WebviewPanelSerializer {
  private readonly panels = new Map<string, StreamPanel>();
  private readonly shown = new vscode.EventEmitter<string>();
  /** A session's panel came to the front. */
  readonly onDidShow = this.shown.event;

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly connection: Connection,
  ) {}

  open(sessionId: string): void {
    const existing = this.panels.get(sessionId);
    if (existing) {
      existing.reveal();
      return;
    }
    const panel = vscode.window.createWebviewPanel(STREAM_VIEW_TYPE, 'Session', vscode.ViewColumn.Active, {
      ...webviewOptions(this.extensionUri),
      enableFindWidget: true,
    });
    this.adopt(panel, sessionId);
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const sessionId = (state as { sessionId?: unknown } | undefined)?.sessionId;
    if (typeof sessionId !== 'string') {
      panel.dispose();
      return;
    }
    panel.webview.options = webviewOptions(this.extensionUri);
    this.adopt(panel, sessionId);
  }

  private adopt(panel: vscode.WebviewPanel, sessionId: string): void {
    this.panels.set(sessionId, new StreamPanel(panel, this.extensionUri, this.connection, sessionId));
    panel.onDidDispose(() => this.panels.delete(sessionId));
    panel.onDidChangeViewState(() => panel.active && this.shown.fire(sessionId));
  }

  dispose(): void {
    for (const panel of [...this.panels.values()]) panel.close();
    this.shown.dispose();
  }
}

class StreamPanel implements FollowerSink {
  private readonly transcript = new Transcript();
  private readonly follower: Follower;
  private pending: Operation[] = [];
  private timer: NodeJS.Timeout | undefined;
  private unpaintedSince = 0;
  private headDue = false;
  private listening = false; // the webview's script runs and has asked for the snapshot
  private loaded = false;
  private shown = SHOWN_MESSAGES;
  private connected = false;
  private status = 'Connecting…';
  private problem: string | undefined; // why the turn failed that was started here

  constructor(
    private readonly panel: vscode.WebviewPanel,
    extensionUri: vscode.Uri,
    private readonly connection: Connection,
    private readonly sessionId: string,
  ) {
    const icon = (theme: string) => vscode.Uri.joinPath(extensionUri, 'media', `stream-${theme}.svg`);
    panel.iconPath = { light: icon('light'), dark: icon('dark') };
    panel.webview.onDidReceiveMessage((message: FromWebview) => this.hear(message));
    panel.webview.html = renderPage(panel.webview, extensionUri, 'stream', 'Session');
    this.follower = new Follower(connection, sessionId, this);
    panel.onDidDispose(() => {
      clearTimeout(this.timer);
      this.follower.dispose();
    });
  }

  reveal(): void {
    this.panel.reveal();
  }

  close(): void {
    this.panel.dispose();
  }

  // ---- from the daemon

  load(snapshot: SessionSnapshot): void {
    this.transcript.load(snapshot);
    this.loaded = true;
    this.pending = [];
    this.panel.title = titleOf(snapshot.session);
    this.status = (snapshot.session.last_turn?.status === 'failed' && this.problem) || statusOf(snapshot);
    this.sendSnapshot();
  }

  event(event: StreamEvent): void {
    for (const operation of this.transcript.apply(event.event)) {
      if (operation.op === 'begin') this.status = `Answering: ${operation.model}`;
      if (operation.op === 'end') this.status = operation.note || 'Answer complete';
      if (operation.op === 'begin' || operation.op === 'end') this.headDue = true; // after the words that come before it
      if (this.listening) merge(this.pending, operation);
    }
    this.flushSoon();
  }

  state(connected: boolean, problem?: string): void {
    this.connected = connected;
    if (!connected) this.status = 'modeld is away; the view goes on when it is back';
    else if (problem) this.status = problem;
    this.post({ type: 'head', head: this.head() });
  }

  deleted(): void {
    this.close();
  }

  // ---- to the webview

  private flushSoon(): void {
    if (this.timer || !(this.pending.length || this.headDue)) return;
    const unpainted = this.unpaintedSince ? Date.now() - this.unpaintedSince : UNPAINTED_MS;
    this.timer = setTimeout(() => this.flush(), unpainted >= UNPAINTED_MS ? 16 : UNPAINTED_MS - unpainted);
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (!this.listening) return;
    if (this.pending.length) {
      const operations = this.pending;
      this.pending = [];
      this.unpaintedSince = Date.now();
      this.post({ type: 'operations', operations });
    }
    if (this.headDue) this.post({ type: 'head', head: this.head() });
    this.headDue = false;
  }

  private sendSnapshot(): void {
    if (!this.listening || !this.loaded) return;
    this.pending = [];
    this.headDue = false;
    const { messages, live } = this.transcript;
    const earlier = Math.max(0, messages.length - this.shown);
    this.post({ type: 'snapshot', head: this.head(), messages: messages.slice(earlier), earlier, live: live ?? null });
  }

  private say(status: string): void {
    this.status = status;
    this.post({ type: 'head', head: this.head() });
  }

  private head(): Head {
    const session = this.transcript.session;
    return {
      title: session ? titleOf(session) : 'Session',
      model: session?.model ?? 'default model',
      status: this.status,
      running: this.transcript.live !== undefined || (session?.running_turn_id ?? null) !== null,
      connected: this.connected,
    };
  }

  private post(message: ToWebview): void {
    if (this.listening) void this.panel.webview.postMessage(message);
  }

  // ---- from the webview

  private hear(message: FromWebview): void {
    switch (message.type) {
      case 'ready':
        this.listening = true;
        this.unpaintedSince = 0;
        this.post({ type: 'session', sessionId: this.sessionId });
        this.post({ type: 'head', head: this.head() });
        this.sendSnapshot();
        return;
      case 'painted':
        this.unpaintedSince = 0;
        if (this.timer) this.flush();
        return;
      case 'earlier':
        this.shown += SHOWN_MESSAGES;
        this.sendSnapshot();
        return;
      case 'action':
        void vscode.commands.executeCommand(`modeld.session.${message.action}`, { session_id: this.sessionId });
        return;
      case 'send':
        void this.send(message.text);
    }
  }

  private async send(text: string): Promise<void> {
    const session_id = this.sessionId;
    this.problem = undefined;
    try {
      const session = this.transcript.session;
      if (session && !session.metadata?.['title'] && !this.transcript.messages.length) {
        const metadata = { ...session.metadata, title: oneLine(text, TITLE_LENGTH) };
        await this.connection.request('session/update', { session_id, metadata });
      }
      await this.connection.request('turn/start', { session_id, input: text, detach: true });
    } catch (error) {
      if (wasCancelled(error)) return;
      this.problem = sentence(words(error));
      this.say(this.problem);
      this.post({ type: 'restore', text }); // a turn that failed is not kept: its message can be sent again
    }
  }
}

function statusOf(snapshot: SessionSnapshot): string {
  const last = snapshot.session.last_turn;
  if (snapshot.turn) return `Answering: ${snapshot.turn.model}`;
  if (!last) return snapshot.messages.length ? 'Ready' : 'No turn yet';
  if (last.status === 'completed') return 'Answer complete';
  return `Last turn ${last.status}${last.error_class ? ` (${last.error_class.replaceAll('_', ' ')})` : ''}`;
}
