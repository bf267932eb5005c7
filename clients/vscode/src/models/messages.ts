// The editor's messages, tools and options as a canonical request.
import * as vscode from 'vscode';
import type { Block, CanonicalRequest, Message, ResultBlock, Tool } from '../protocol';
import { initiatorOf, isData, isThinking, Note, SYSTEM_ROLE, type DataPart } from './newer';
import { type Replay, thoughtsIn } from './replay';

type Messages = readonly vscode.LanguageModelChatRequestMessage[];

/** The whole request. Options that we don't know are left out: the editor's chat adds its own to every call. */
export function canonicalRequest(
  model: string,
  messages: Messages,
  options: vscode.ProvideLanguageModelChatResponseOptions,
  replay: Replay,
): CanonicalRequest {
  const converted = canonicalMessages(messages, replay);
  const tools = (options.tools ?? []).map(canonicalTool);
  return {
    model,
    ...converted,
    ...(tools.length ? { tools } : {}),
    ...(tools.length && options.toolMode === vscode.LanguageModelChatToolMode.Required
      ? { tool_choice: { type: 'required' } }
      : {}),
    ...samplingOf(options.modelOptions ?? {}),
    initiator: initiatorOf(options),
  };
}

/** Messages, the system prompt, and how to cache where the messages say it. */
export function canonicalMessages(
  messages: Messages,
  replay: Replay,
): Pick<CanonicalRequest, 'system_prompt' | 'cache'> & { messages: Message[] } {
  const system: string[] = [];
  const found: Message[] = [];
  for (const message of messages) {
    if ((message.role as number) === SYSTEM_ROLE && !found.length) system.push(textOf(message.content));
    else found.push(...canonicalMessage(message, replay));
  }
  const marked = found.some((message) => message.metadata?.['cache'] === true);
  const prompt = system.filter(Boolean).join('\n\n');
  return {
    messages: found,
    ...(prompt ? { system_prompt: prompt } : {}),
    ...(marked ? { cache: { mode: 'explicit' as const } } : {}),
  };
}

/** One message of the editor's; results of tools become a message of their own, before what else it holds. */
export function canonicalMessage(message: vscode.LanguageModelChatRequestMessage, replay: Replay): Message[] {
  const results: Block[] = [];
  let content: Block[] = [];
  let marked = false;
  for (const part of message.content as readonly unknown[]) {
    if (isData(part) && part.mimeType === Note.cacheBreakpoint) marked = true;
    else if (part instanceof vscode.LanguageModelToolResultPart) results.push(resultBlock(part));
    else content.push(...blocksOf(part));
  }
  const assistant = message.role === vscode.LanguageModelChatMessageRole.Assistant;
  if (assistant) content = replay.restore(content);
  const role = assistant ? 'assistant' : (message.role as number) === SYSTEM_ROLE ? 'system' : 'user';
  const messages: Message[] = [];
  if (results.length) messages.push({ role: 'tool', content: results });
  if (content.length) messages.push({ role, content });
  const last = messages.at(-1);
  if (marked && last) last.metadata = { cache: true };
  return messages;
}

function blocksOf(part: unknown): Block[] {
  if (part instanceof vscode.LanguageModelTextPart) return part.value ? [{ type: 'text', text: part.value }] : [];
  if (part instanceof vscode.LanguageModelToolCallPart) {
    return [{ type: 'tool_use', id: part.callId, name: part.name, input: part.input as Record<string, unknown> }];
  }
  if (isThinking(part)) return thoughtsIn(part.metadata); // without our metadata it is another provider's: no use to ours
  if (isData(part)) return mediaBlock(part);
  return [];
}

function resultBlock(part: vscode.LanguageModelToolResultPart): Block {
  const content = part.content.flatMap(resultContent);
  const [first, ...more] = content;
  const failed = (part as { isError?: unknown }).isError === true;
  return {
    type: 'tool_result',
    tool_use_id: part.callId,
    content: first?.type === 'text' && !more.length ? first.text : content,
    ...(failed ? { is_error: true } : {}),
  };
}

function resultContent(part: unknown): ResultBlock[] {
  if (part instanceof vscode.LanguageModelTextPart) return [{ type: 'text', text: part.value }];
  if (part instanceof vscode.LanguageModelPromptTsxPart) return [{ type: 'text', text: textOfTsx(part.value) }];
  if (isData(part)) return mediaBlock(part) as ResultBlock[];
  return [{ type: 'text', text: typeof part === 'string' ? part : JSON.stringify(part) }];
}

/** Media as it is, text as text; notes between chat and providers are no content. */
function mediaBlock(part: DataPart): Block[] {
  const mime = part.mimeType.toLowerCase();
  if (!mime.includes('/')) return [];
  if (mime.startsWith('text/') || mime === 'application/json' || mime.endsWith('+json')) {
    return [{ type: 'text', text: new TextDecoder().decode(part.data) }];
  }
  const type = mime.startsWith('image/') ? 'image' : mime.startsWith('audio/') ? 'audio' : 'file';
  const source = { kind: 'base64' as const, data: Buffer.from(part.data).toString('base64') };
  return [{ type, source, media_type: mime }];
}

/** The text in what `@vscode/prompt-tsx` renders: nodes of type 2 hold it. Anything else goes as JSON. */
function textOfTsx(value: unknown): string {
  const texts: string[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const { type, text, children, lineBreakBefore } = node as Record<string, unknown>;
    if (type === 2 && typeof text === 'string') texts.push(lineBreakBefore && texts.length ? `\n${text}` : text);
    if (Array.isArray(children)) children.forEach(walk);
  };
  walk((value as { node?: unknown } | null)?.node);
  return texts.length ? texts.join('') : typeof value === 'string' ? value : JSON.stringify(value);
}

function textOf(content: readonly unknown[]): string {
  return content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '')).join('');
}

function canonicalTool(tool: vscode.LanguageModelChatTool): Tool {
  const schema = (tool.inputSchema ?? {}) as Record<string, unknown>;
  return {
    name: tool.name,
    description: tool.description,
    input_schema: schema['type'] === 'object' ? schema : { type: 'object', properties: {}, ...schema },
  };
}

type Sampling = Pick<CanonicalRequest, 'temperature' | 'top_p' | 'max_output_tokens' | 'stop_sequences'>;

/** The options that mean the same everywhere, under the names that extensions give them, where they make sense. */
export function samplingOf(options: Readonly<Record<string, unknown>>): Sampling {
  const number = (names: string[], most: number) => {
    const value = names.map((name) => options[name]).find((one) => typeof one === 'number');
    return typeof value === 'number' && value >= 0 && value <= most ? value : undefined;
  };
  const found: Sampling = {};
  const temperature = number(['temperature'], 2);
  const topP = number(['top_p', 'topP'], 1);
  const most = number(['max_tokens', 'maxTokens', 'max_output_tokens', 'maxOutputTokens', 'max_completion_tokens'], 1e9);
  const stop = [options['stop'], options['stop_sequences'], options['stopSequences']].find((one) => one !== undefined);
  if (temperature !== undefined) found.temperature = temperature;
  if (topP !== undefined) found.top_p = topP;
  if (most) found.max_output_tokens = Math.floor(most);
  if (typeof stop === 'string') found.stop_sequences = [stop];
  else if (Array.isArray(stop) && stop.every((one) => typeof one === 'string') && stop.length) found.stop_sequences = stop;
  return found;
}
