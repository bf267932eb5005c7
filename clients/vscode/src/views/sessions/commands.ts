// What can be done to a session from the tree and the stream view.
import * as vscode from 'vscode';
import type { Connection } from '../../connection';
import { wasCancelled, words } from '../../failure';
import { counted } from '../../money';
import type { Session } from '../../protocol';
import type { StreamPanels } from '../stream/panel';
import { describeAge, describeHandoff, exportName, forkChoices, titleOf } from './present';
import type { Node, SessionTree } from './tree';

/** A node of the tree, or whoever names a session by its id; nothing from the palette. */
type Target = Node | { session_id: string } | undefined;

export function registerSessionCommands(connection: Connection, tree: SessionTree, panels: StreamPanels): vscode.Disposable[] {
  const commands = new SessionCommands(connection, tree, panels);
  const on = (name: string, run: (session: Session) => Promise<void>) =>
    vscode.commands.registerCommand(`modeld.session.${name}`, (target: Target) => commands.run(target, run));
  return [
    on('open', (session) => Promise.resolve(panels.open(session.session_id))),
    on('fork', (session) => commands.fork(session)),
    on('cancel', (session) => commands.cancel(session)),
    on('switchModel', (session) => commands.switchModel(session)),
    on('rename', (session) => commands.rename(session)),
    on('delete', (session) => commands.delete(session)),
    on('export', (session) => commands.export(session)),
    vscode.commands.registerCommand('modeld.sessions.refresh', () => tree.refresh()),
    vscode.commands.registerCommand('modeld.sessions.more', () => tree.showMore()),
  ];
}

class SessionCommands {
  constructor(
    private readonly connection: Connection,
    private readonly tree: SessionTree,
    private readonly panels: StreamPanels,
  ) {}

  /** Finds the session, asking for it where none is named, and says in words what goes wrong. */
  async run(target: Target, action: (session: Session) => Promise<void>): Promise<void> {
    try {
      const session = await this.sessionOf(target);
      if (session) await action(session);
    } catch (error) {
      if (!wasCancelled(error)) void vscode.window.showErrorMessage(words(error));
    } finally {
      this.tree.refresh();
    }
  }

  private async sessionOf(target: Target): Promise<Session | undefined> {
    if (target === undefined || target === 'more') return this.pick();
    if ('session' in target) return target.session;
    const known = this.tree.find(target.session_id);
    if (known) return known;
    return (await this.connection.request('session/get', { session_id: target.session_id })).session;
  }

  private async pick(): Promise<Session | undefined> {
    const { sessions } = await this.connection.request('session/list', { limit: 100 });
    if (!sessions.length) {
      void vscode.window.showInformationMessage('There is no session yet: "modeld: New Session" begins one.');
      return undefined;
    }
    const items = sessions.map((session) => ({
      label: titleOf(session),
      description: `${session.model ?? 'default model'} · ${describeAge(session.updated_at, Date.now())}`,
      session,
    }));
    return (await vscode.window.showQuickPick(items, { placeHolder: 'Which session?', matchOnDescription: true }))?.session;
  }

  async fork(session: Session): Promise<void> {
    const reference = { session_id: session.session_id };
    const [points, { messages }] = await Promise.all([
      this.connection.request('session/forkPoints', reference),
      this.connection.request('session/get', reference),
    ]);
    const choices = forkChoices(points, messages);
    if (!choices.length && messages.length) {
      const reason = points.unsafe[0]?.reason ?? 'a tool call waits for its result';
      throw new Error(`This session can't be forked anywhere yet: ${reason}.`);
    }
    const title = `Fork ${titleOf(session)}: the new session keeps everything up to`;
    const choice = choices.length ? await vscode.window.showQuickPick(choices, { title, placeHolder: 'Which message?' }) : undefined;
    if (choices.length && !choice) return;
    const params = choice ? { ...reference, message_id: choice.messageId } : reference;
    const forked = (await this.connection.request('session/fork', params)).session;
    this.panels.open(forked.session_id);
    await this.tree.reload();
    this.tree.select(forked.session_id);
  }

  async cancel(session: Session): Promise<void> {
    const { cancelled } = await this.connection.request('turn/cancel', { session_id: session.session_id });
    if (!cancelled) void vscode.window.setStatusBarMessage('Nothing was running in this session.', 4_000);
  }

  /** The switch is made only after its preview was seen. */
  async switchModel(session: Session): Promise<void> {
    const { models } = await this.connection.request('model/list', {});
    const items = models
      .filter((model) => model.id !== session.model)
      .map(({ id, aliases, availability }) => ({
        label: id,
        description: [...(aliases ?? []), ...(availability === 'unavailable' || availability === 'degraded' ? [availability] : [])].join(', '),
      }));
    const title = `${titleOf(session)} is on ${session.model ?? 'the default model'}`;
    const picked = await vscode.window.showQuickPick(items, { title, placeHolder: 'Switch to which model?', matchOnDescription: true });
    if (!picked) return;
    const report = await this.connection.request('handoff/preview', { session_id: session.session_id, model: picked.label });
    const answer = await vscode.window.showInformationMessage(
      `Switch this session to ${picked.label}?`,
      { modal: true, detail: describeHandoff(report) },
      'Switch',
    );
    if (answer !== 'Switch') return;
    await this.connection.request('session/update', { session_id: session.session_id, model: picked.label });
  }

  async rename(session: Session): Promise<void> {
    const given = session.metadata?.['title'];
    const title = await vscode.window.showInputBox({
      title: 'Rename session',
      value: typeof given === 'string' ? given : '',
      prompt: 'Other clients see this title too.',
      validateInput: (value) => (value.trim() ? undefined : 'A title has at least one letter.'),
    });
    if (title === undefined) return;
    const now = await this.connection.request('session/get', { session_id: session.session_id });
    const metadata = { ...now.session.metadata, title: title.trim() }; // the rest belongs to other clients
    await this.connection.request('session/update', { session_id: session.session_id, metadata });
  }

  async delete(session: Session): Promise<void> {
    const running = session.running_turn_id ? ' The answer that is being given is cancelled.' : '';
    const answer = await vscode.window.showWarningMessage(
      `Delete "${titleOf(session)}"?`,
      { modal: true, detail: `Gone for every client: ${counted(session.message_count ?? 0, 'message')}.${running} What it cost stays in the usage.` },
      'Delete',
    );
    if (answer !== 'Delete') return;
    await this.connection.request('session/delete', { session_id: session.session_id });
  }

  async export(session: Session): Promise<void> {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const name = exportName(session);
    const target = await vscode.window.showSaveDialog({
      title: 'Export session',
      ...(folder ? { defaultUri: vscode.Uri.joinPath(folder, name) } : {}),
      filters: { JSON: ['json'] },
    });
    if (!target) return;
    const exported = await this.connection.request('session/export', { session_id: session.session_id });
    await vscode.workspace.fs.writeFile(target, new TextEncoder().encode(`${JSON.stringify(exported, null, 2)}\n`));
    void vscode.window.setStatusBarMessage(`Exported to ${target.fsPath}`, 6_000);
  }
}
