// A session as it is shown: its messages and the answer that grows. Pure; events in, operations for the webview out.
import type { Block, Event, Message, Session, SessionSnapshot, ToolResultBlock } from '../../protocol';
import type { BlockView, MessageView, Operation } from './messages';

const INPUT_SHOWN = 20_000; // characters of a tool's arguments or result; whole ones are in the export

export class Transcript {
  session: Session | undefined;
  messages: MessageView[] = [];
  live: MessageView | undefined;

  load(snapshot: SessionSnapshot): void {
    this.session = snapshot.session;
    this.messages = snapshot.messages.map(showMessage);
    this.live = undefined;
    const turn = snapshot.turn;
    if (!turn) return;
    this.messages.push(...turn.input.map((message, at) => showMessage(message, at + this.messages.length)));
    if (turn.message_id) this.live = { id: turn.message_id, role: 'assistant', blocks: turn.content.map(showBlock) };
  }

  apply(event: Event): Operation[] {
    if (event.type === 'message.start') {
      this.live = { id: event.message_id, role: 'assistant', blocks: [] };
      return [{ op: 'begin', id: event.message_id, model: event.model }];
    }
    if (event.type === 'message.complete') return this.complete(event.message_id, event.stop_reason, event.final_content);
    const live = (this.live ??= { id: event.message_id, role: 'assistant', blocks: [] });
    const index = event.content_block_index;
    switch (event.type) {
      case 'text.delta':
        return append(live, index, 'text', event.text);
      case 'thinking.delta':
        return append(live, index, 'thinking', event.text);
      case 'tool.use_start':
        return put(live, index, { kind: 'tool', title: event.tool_name, text: '' });
      case 'tool.use_input_delta':
        return append(live, index, 'tool', event.partial_json);
      case 'tool.use_end':
        return put(live, index, { kind: 'tool', title: live.blocks[index]?.title ?? '', text: showJson(event.final_input) });
    }
  }

  private complete(id: string, stopReason: string, content: Block[]): Operation[] {
    this.messages.push({ id, role: 'assistant', blocks: content.map(showBlock) });
    this.live = undefined;
    return [{ op: 'end', note: stopReason === 'end_turn' ? '' : `Ended: ${stopReason.replaceAll('_', ' ')}` }];
  }
}

function append(live: MessageView, index: number, kind: BlockView['kind'], text: string): Operation[] {
  const block = live.blocks[index];
  if (!block) return put(live, index, { kind, text });
  block.text += text;
  return text ? [{ op: 'append', index, text }] : [];
}

function put(live: MessageView, index: number, block: BlockView): Operation[] {
  while (live.blocks.length < index) live.blocks.push({ kind: 'note', text: '' }); // a block that has no events of its own
  live.blocks[index] = block;
  return [{ op: 'block', index, block: { ...block } }];
}

/** Joins what is appended to one block, so that a frame costs one operation a block, however many events it had. */
export function merge(operations: Operation[], next: Operation): void {
  const last = operations[operations.length - 1];
  if (last && next.op === 'append' && last.op === 'append' && last.index === next.index) last.text += next.text;
  else if (last && next.op === 'append' && last.op === 'block' && last.index === next.index) last.block.text += next.text;
  else operations.push({ ...next });
}

function showMessage(message: Message, at: number): MessageView {
  const blocks: BlockView[] =
    typeof message.content === 'string' ? [{ kind: 'text', text: message.content }] : message.content.map(showBlock);
  return { id: message.id ?? `#${at}`, role: message.role, blocks };
}

function showBlock(block: Block): BlockView {
  switch (block.type) {
    case 'text':
    case 'refusal':
      return { kind: 'text', text: block.text };
    case 'thinking':
      return { kind: 'thinking', text: block.text ?? '' };
    case 'redacted_thinking':
      return { kind: 'note', text: 'Thinking that the provider keeps to itself' };
    case 'tool_use':
      return { kind: 'tool', title: block.name, text: showJson(block.input) };
    case 'tool_result':
      return { kind: 'result', title: 'Result', text: showResult(block), failed: block.is_error ?? false };
    case 'json':
      return { kind: 'text', text: showJson(block.value) };
    case 'opaque':
      return { kind: 'note', text: "A provider's own block" };
    default:
      return { kind: 'note', text: `${block.type}${block.filename ? `: ${block.filename}` : ''}` };
  }
}

function showResult(block: ToolResultBlock): string {
  if (typeof block.content === 'string') return shorten(block.content);
  return shorten(block.content.map((part) => showBlock(part).text).join('\n'));
}

function showJson(value: unknown): string {
  return shorten(JSON.stringify(value, null, 2));
}

function shorten(text: string): string {
  return text.length > INPUT_SHOWN ? `${text.slice(0, INPUT_SHOWN)}\n… ${text.length - INPUT_SHOWN} more characters; the export has them` : text;
}
