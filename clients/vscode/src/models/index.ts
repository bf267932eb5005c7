// The daemon's models in the editor: for its picker, its chat, and every extension that asks for a model.
import * as vscode from 'vscode';
import type { Connection } from '../connection';
import { RequestFailed } from '../failure';
import type { CanonicalResponse, ModelInfo, TokenCountParams } from '../protocol';
import { Answer, type Part } from './answer';
import { modelError } from './errors';
import { informationOf, type Information } from './information';
import { canonicalMessage, canonicalRequest } from './messages';
import { Replay } from './replay';

export const VENDOR = 'modeld';
const KNOWN = 'modeld.models';
const CHANGES_MS = 200; // several providers that fail together are one change of the list
const MAX_COUNTS = 2_000;
const BYTES_PER_TOKEN = 4;

/** Registers the provider; its models follow the config and what is known of providers. */
export function registerModels(context: vscode.ExtensionContext, connection: Connection): ModelProvider {
  const provider = new ModelProvider(connection, context.globalState);
  context.subscriptions.push(provider);
  // Editors that are built from VS Code may lack its language models, or its chat; the rest works there all the same.
  const register = (vscode.lm as Partial<typeof vscode.lm> | undefined)?.registerLanguageModelChatProvider;
  if (register !== undefined) context.subscriptions.push(register(VENDOR, provider));
  return provider;
}

export class ModelProvider implements vscode.LanguageModelChatProvider<Information>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly replay = new Replay();
  private readonly counts = new Map<string, number>();
  private readonly listeners: vscode.Disposable[];
  private timer: NodeJS.Timeout | undefined;
  private known: ModelInfo[];

  readonly onDidChangeLanguageModelChatInformation = this.changed.event;

  constructor(
    private readonly connection: Connection,
    private readonly memento: vscode.Memento,
  ) {
    this.known = memento.get<ModelInfo[]>(KNOWN, []);
    this.listeners = [
      connection.onDidChangeState((state) => state === 'ready' && this.refresh()),
      connection.onNotification('config/changed', ({ applied }) => applied && this.refresh()),
      connection.onNotification('availability/changed', () => this.refresh()),
    ];
  }

  /** Has the editor ask for the models again, soon. */
  refresh(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.changed.fire(), CHANGES_MS);
  }

  /**
   * Every model that has what it needs. While the daemon is away, or still on its way as the editor starts: those that it had
   * last, so that the picker is there at once and no choice of the user's is lost. `refresh` follows once it is there.
   */
  async provideLanguageModelChatInformation(
    _options: vscode.PrepareLanguageModelChatModelOptions,
    token: vscode.CancellationToken,
  ): Promise<Information[]> {
    if (this.connection.state === 'ready' || !this.known.length) await this.learn(token);
    return this.known.map(informationOf);
  }

  private async learn(token: vscode.CancellationToken): Promise<void> {
    try {
      const { models } = await this.connection.request('model/list', {}, token);
      const known = models.filter((model) => model.availability !== 'not_configured');
      const changed = JSON.stringify(known) !== JSON.stringify(this.known);
      this.known = known;
      if (changed) await this.memento.update(KNOWN, known);
    } catch {
      // Said once, by the connection; here it would be said for each extension that looks for a model.
    }
  }

  async provideLanguageModelChatResponse(
    model: Information,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<Part>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const answer = new Answer((part) => progress.report(part));
    try {
      const request = canonicalRequest(model.id, messages, options, this.replay);
      const response = await this.connection.stream('model/stream', request, (event) => answer.event(event), token);
      answer.end(response);
      this.replay.remember(response.content);
      refuseNothing(response, answer);
    } catch (error) {
      if (token.isCancellationRequested) answer.drop();
      else answer.flush(); // what came is the reader's
      throw modelError(error, token);
    }
  }

  /** A local estimate, without a provider: the editor's chat counts every part of every prompt. */
  async provideTokenCount(
    model: Information,
    text: string | vscode.LanguageModelChatRequestMessage,
    token: vscode.CancellationToken,
  ): Promise<number> {
    const messages = typeof text === 'string' ? text : canonicalMessage(text, this.replay);
    if (!messages.length) return 0;
    const key = `${model.id}\n${typeof messages === 'string' ? messages : JSON.stringify(messages)}`;
    const known = this.counts.get(key);
    if (known !== undefined) return known;
    if (this.connection.state !== 'ready') return Math.ceil(Buffer.byteLength(key) / BYTES_PER_TOKEN);
    const params: TokenCountParams = { messages, model: model.id };
    try {
      const { input_tokens } = await this.connection.request('model/estimateTokens', params, token);
      this.remember(key, input_tokens);
      return input_tokens;
    } catch (error) {
      if (error instanceof vscode.CancellationError) throw error;
      return Math.ceil(Buffer.byteLength(key) / BYTES_PER_TOKEN);
    }
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const listener of this.listeners) listener.dispose();
    this.changed.dispose();
  }

  private remember(key: string, count: number): void {
    if (key.length > 100_000) return;
    if (this.counts.size >= MAX_COUNTS) this.counts.clear();
    this.counts.set(key, count);
  }
}

/** An answer without a word is no answer: the reason is told instead. */
function refuseNothing(response: CanonicalResponse, answer: Answer): void {
  if (answer.said) return;
  if (response.stop_reason === 'content_filter' || response.stop_reason === 'refusal') {
    const data = { error_class: 'content_filter' as const, message: `${response.model} declined to answer.` };
    throw new RequestFailed(data.message, 0, data);
  }
  if (response.stop_reason === 'max_tokens') {
    throw new Error(`${response.model} used up its output limit before it said anything; allow more output, or less thinking.`);
  }
}
