// `@modeld` in the chat: a conversation with any model of the daemon, which can be kept as a session, and four questions.
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { wasCancelled, words } from './failure';
import { VENDOR } from './models';
import { counted, today, total } from './money';
import type { Message, StreamEvent } from './protocol';
import { code, handoffWords, modelList, usageList } from './reports';
import { settings } from './settings';

const PARTICIPANT = 'modeld.modeld';
const MAX_REFERENCE_BYTES = 200_000;

/** What an answer leaves for the next ones. */
interface Kept {
  session_id?: string;
}

export function registerParticipant(context: vscode.ExtensionContext, connection: Connection): void {
  const create = (vscode.chat as Partial<typeof vscode.chat> | undefined)?.createChatParticipant;
  if (create === undefined) return; // an editor without VS Code's chat
  const participant = create(PARTICIPANT, (request, chat, stream, token) =>
    new Asked(connection, request, chat, stream, token).answer(),
  );
  participant.iconPath = vscode.Uri.joinPath(context.extensionUri, 'media', 'icon.png');
  context.subscriptions.push(participant);
}

class Asked {
  constructor(
    private readonly connection: Connection,
    private readonly request: vscode.ChatRequest,
    private readonly chat: vscode.ChatContext,
    private readonly stream: vscode.ChatResponseStream,
    private readonly token: vscode.CancellationToken,
  ) {}

  async answer(): Promise<vscode.ChatResult> {
    try {
      return { metadata: await this.run() };
    } catch (error) {
      if (wasCancelled(error)) return { metadata: this.kept() };
      return { metadata: this.kept(), errorDetails: { message: words(error) } };
    }
  }

  private run(): Promise<Kept> {
    switch (this.request.command) {
      case 'models':
        return this.models();
      case 'usage':
        return this.usage();
      case 'session':
        return this.session();
      case 'handoff':
        return this.handoff();
      default:
        return this.talk();
    }
  }

  /** The session that an earlier answer of this conversation made, if any. */
  private kept(): Kept {
    const results = this.chat.history
      .filter((turn) => turn instanceof vscode.ChatResponseTurn)
      .map((turn) => turn.result.metadata as Kept | undefined);
    const session_id = results
      .map((kept) => kept?.session_id)
      .filter(Boolean)
      .at(-1);
    return session_id ? { session_id } : {};
  }

  // ---- talking

  private async talk(): Promise<Kept> {
    const kept = this.kept();
    const input: Message[] = [{ role: 'user', content: await this.prompt() }];
    const each = ({ event }: StreamEvent) => {
      if (event.type === 'text.delta') this.stream.markdown(event.text);
    };
    const model = this.model();
    if (kept.session_id) {
      const params = { session_id: kept.session_id, input };
      await this.connection.stream('turn/start', params, each, this.token);
    } else {
      const messages = [...this.history(), ...input];
      await this.connection.stream('model/stream', { messages, ...(model ? { model } : {}) }, each, this.token);
    }
    return kept;
  }

  /** The model of the picker where it is one of ours, else the user's setting, else the daemon's default. */
  private model(): string | undefined {
    return this.request.model.vendor === VENDOR ? this.request.model.id : settings().model || undefined;
  }

  private history(): Message[] {
    const messages: Message[] = [];
    for (const turn of this.chat.history) {
      if (turn.participant !== PARTICIPANT) continue;
      const role = turn instanceof vscode.ChatRequestTurn ? 'user' : 'assistant';
      if (turn.command) continue; // a question to the daemon is none to a model
      const text = turn instanceof vscode.ChatRequestTurn ? turn.prompt : textOf(turn as vscode.ChatResponseTurn);
      if (text) messages.push({ role, content: text });
    }
    return messages;
  }

  /** The prompt and what it refers to. */
  private async prompt(): Promise<string> {
    const parts = [this.request.prompt];
    for (const reference of this.request.references) {
      const text = await referenceText(reference.value);
      if (text !== undefined) parts.push(text);
    }
    return parts.join('\n\n');
  }

  // ---- asking the daemon

  private async models(): Promise<Kept> {
    const { models } = await this.connection.request('model/list', {}, this.token);
    if (!models.length) {
      this.stream.markdown('No model is configured yet: `models.yaml` is the place to begin.\n\n');
      this.stream.button({ command: 'modeld.openConfig', title: 'Open models.yaml' });
      return this.kept();
    }
    this.stream.markdown(`${modelList(models)}\n\n`);
    this.stream.button({ command: 'modeld.pickModel', title: 'Pick Default Model' });
    return this.kept();
  }

  private async usage(): Promise<Kept> {
    const days = Number(/\d+/.exec(this.request.prompt)?.[0] ?? 7);
    const ask = (group_by: 'model' | 'client', since: string) =>
      this.connection.request('usage/aggregate', { group_by, since }, this.token).then(({ groups }) => groups);
    const [now, models, clients] = await Promise.all([
      ask('model', today()),
      ask('model', `${days}d`),
      ask('client', `${days}d`),
    ]);
    this.stream.markdown(`### Today: ${total(now)}\n\n${usageList(now)}\n\n`);
    this.stream.markdown(`### ${days} days, by model: ${total(models)}\n\n${usageList(models)}\n\n`);
    this.stream.markdown(`### ${days} days, by client\n\n${usageList(clients)}\n\n`);
    this.stream.button({ command: 'modeld.usage.focus', title: 'Open Usage View' });
    return this.kept();
  }

  /** Makes the conversation so far a session of the daemon's; what is asked from now on runs there. */
  private async session(): Promise<Kept> {
    const kept = this.kept();
    if (kept.session_id) {
      this.stream.markdown('This conversation is a session already.');
      this.openButton(kept.session_id);
      return kept;
    }
    const messages = this.history();
    const title = this.request.prompt.trim();
    const model = this.model();
    const params = { ...(model ? { model } : {}), metadata: title ? { title } : {} };
    const { session } = await this.connection.request('session/create', params, this.token);
    const { session_id } = session;
    if (messages.length) await this.connection.request('session/append', { session_id, messages }, this.token);
    this.stream.markdown(
      `This conversation is kept as a session on ${code(session.model ?? 'the default model')}, with ${counted(messages.length, 'message')} so far.` +
        ' Go on here, in its own view, in a terminal (`modeld chat`), or in another editor.',
    );
    this.openButton(session_id);
    return { session_id };
  }

  private openButton(session_id: string): void {
    this.stream.button({ command: 'modeld.session.open', title: 'Open Session', arguments: [{ session_id }] });
  }

  private async handoff(): Promise<Kept> {
    const kept = this.kept();
    const session_id = kept.session_id ?? (await this.newest());
    const model = this.request.prompt.trim();
    if (session_id === undefined) {
      this.stream.markdown('There is no session yet: `/session` makes this conversation one.');
      return kept;
    }
    if (!model) {
      this.stream.markdown('Name the model to switch to: `@modeld /handoff provider:model`, or an alias. `/models` lists them.');
      return kept;
    }
    const report = await this.connection.request('handoff/preview', { session_id, model }, this.token);
    this.stream.markdown(handoffWords(report));
    if (!report.refused?.length) {
      this.stream.button({ command: 'modeld.session.switchModel', title: 'Switch Model...', arguments: [{ session_id }] });
    }
    return { session_id };
  }

  private async newest(): Promise<string | undefined> {
    const { sessions } = await this.connection.request('session/list', { limit: 1 }, this.token);
    return sessions[0]?.session_id;
  }
}

function textOf(turn: vscode.ChatResponseTurn): string {
  return turn.response.map((part) => (part instanceof vscode.ChatResponseMarkdownPart ? part.value.value : '')).join('');
}

/** The text that a reference stands for; nothing for what is no text, or too large for a prompt. */
async function referenceText(value: unknown): Promise<string | undefined> {
  if (typeof value === 'string') return value;
  const place =
    value instanceof vscode.Location ? value : value instanceof vscode.Uri ? { uri: value, range: undefined } : undefined;
  if (place === undefined) return undefined;
  try {
    const { size } = await vscode.workspace.fs.stat(place.uri);
    if (size > MAX_REFERENCE_BYTES) return undefined;
    const document = await vscode.workspace.openTextDocument(place.uri);
    return `${vscode.workspace.asRelativePath(place.uri)}:\n\`\`\`\n${document.getText(place.range)}\n\`\`\``;
  } catch {
    return undefined;
  }
}
