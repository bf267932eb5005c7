// The session tree: every session of the daemon, those of other clients too, while they change.
import * as vscode from 'vscode';
import type { Connection } from '../../connection';
import { words } from '../../failure';
import { counted } from '../../money';
import type { Session } from '../../protocol';
import { arrange, describeSession, titleOf, type Tree } from './present';

const PAGE = 50;
const POLL_MS = 1_500; // only while the view can be seen; the daemon tells of a session to its subscribers alone
const POLL_SHARE = 10; // a list that takes long is asked for less often: no more than this part of the time goes to it

export type Node = { session: Session } | 'more';

export class SessionTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private readonly disposables: vscode.Disposable[] = [this.changed];
  private sessions: Session[] = [];
  private tree: Tree = { roots: [], children: new Map() };
  private more = false;
  private limit = PAGE;
  private signature = '';
  private timer: NodeJS.Timeout | undefined;
  private reading: Promise<void> | undefined;
  private readAgain = false;
  readonly view: vscode.TreeView<Node>;

  constructor(private readonly connection: Connection) {
    this.view = vscode.window.createTreeView('modeld.sessions', { treeDataProvider: this, showCollapseAll: false });
    this.disposables.push(
      this.view,
      this.view.onDidChangeVisibility(() => this.refresh()),
      connection.onDidChangeState(() => this.refresh()),
      connection.onNotification('session/changed', () => this.refresh()),
    );
    this.refresh();
  }

  /** The session that is looked at, marked in the tree where it is shown. */
  select(sessionId: string): void {
    const session = this.find(sessionId);
    if (session && this.view.visible) this.view.reveal({ session }, { select: true, focus: false }).then(undefined, () => undefined);
  }

  /** Reads now, and from then on in turn while the view can be seen. */
  refresh(): void {
    clearTimeout(this.timer);
    void vscode.commands.executeCommand('setContext', 'modeld.ready', this.connection.state === 'ready');
    if (!this.view.visible) return;
    if (this.connection.state !== 'ready') {
      this.show([], false);
      return;
    }
    if (this.reading) {
      this.readAgain = true;
      return;
    }
    const began = Date.now();
    this.reading = this.read().finally(() => {
      this.reading = undefined;
      if (this.readAgain) {
        this.readAgain = false;
        this.refresh();
      } else {
        this.timer = setTimeout(() => this.refresh(), Math.max(POLL_MS, (Date.now() - began) * POLL_SHARE));
      }
    });
  }

  /** Reads, and is done when that is shown. */
  async reload(): Promise<void> {
    this.refresh();
    while (this.reading) await this.reading;
  }

  showMore(): void {
    this.limit += PAGE;
    this.refresh();
  }

  find(sessionId: string): Session | undefined {
    return this.sessions.find((session) => session.session_id === sessionId);
  }

  private async read(): Promise<void> {
    try {
      const page = await this.connection.request('session/list', { limit: Math.min(this.limit, 1_000) });
      this.view.message = undefined;
      this.show(page.sessions, Boolean(page.next_cursor));
    } catch (error) {
      this.view.message = words(error);
    }
  }

  private show(sessions: Session[], more: boolean): void {
    const minute = Math.floor(Date.now() / 60_000); // ages are shown in minutes
    const signature = JSON.stringify([minute, more, sessions.map(drawnOf)]);
    if (signature === this.signature) return;
    this.signature = signature;
    this.sessions = sessions;
    this.more = more;
    this.tree = arrange(sessions);
    const running = sessions.filter((session) => session.running_turn_id).length;
    this.view.badge = running ? { value: running, tooltip: `${counted(running, 'answer')} under way` } : undefined;
    this.changed.fire(undefined);
  }

  getChildren(node?: Node): Node[] {
    if (node === 'more') return [];
    const sessions = node ? (this.tree.children.get(node.session.session_id) ?? []) : this.tree.roots;
    const nodes: Node[] = sessions.map((session) => ({ session }));
    return !node && this.more ? [...nodes, 'more'] : nodes;
  }

  getParent(node: Node): Node | undefined {
    const parent = node === 'more' ? undefined : node.session.parent_id;
    const session = parent ? this.find(parent) : undefined;
    return session && { session };
  }

  getTreeItem(node: Node): vscode.TreeItem {
    if (node === 'more') {
      const item = new vscode.TreeItem('Show more sessions');
      item.id = 'more';
      item.command = { command: 'modeld.sessions.more', title: 'Show more sessions' };
      return item;
    }
    const { session } = node;
    const forks = this.tree.children.has(session.session_id);
    const item = new vscode.TreeItem(
      titleOf(session),
      forks ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.None,
    );
    const description = describeSession(session, Date.now());
    item.id = forks ? `${session.session_id}+forks` : session.session_id; // one that gets its first fork opens by itself
    item.description = description;
    item.tooltip = `${titleOf(session)}\n${description}\n${session.session_id}`;
    item.iconPath = new vscode.ThemeIcon(iconOf(session));
    item.contextValue = session.running_turn_id ? 'session.running' : 'session.idle';
    item.accessibilityInformation = { label: `${titleOf(session)}, ${description}` };
    item.command = { command: 'modeld.session.open', title: 'Open session', arguments: [{ session_id: session.session_id }] };
    return item;
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const disposable of this.disposables) disposable.dispose();
  }
}

/** What of a session is drawn, or decides what is. */
function drawnOf(session: Session): unknown[] {
  const { session_id, parent_id, model, updated_at, running_turn_id, message_count, last_turn } = session;
  return [session_id, parent_id, titleOf(session), model, updated_at, running_turn_id, message_count, last_turn?.status];
}

function iconOf(session: Session): string {
  if (session.running_turn_id) return 'loading~spin';
  if (session.last_turn?.status === 'failed' || session.last_turn?.status === 'interrupted') return 'warning';
  return session.parent_id ? 'repo-forked' : 'comment';
}
