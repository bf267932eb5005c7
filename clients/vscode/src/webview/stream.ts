/// <reference lib="dom" />
// The stream view's page: draws what the panel sends. Text of models goes into text nodes, and nowhere else.
import { counted } from '../money';
import type { BlockView, FromWebview, Head, MessageView, Operation, ToWebview } from '../views/stream/messages';

declare function acquireVsCodeApi(): { postMessage(message: FromWebview): void; setState(state: unknown): void };
const vscode = acquireVsCodeApi();
const CHUNK = 8_000; // characters in one text node: a longer one makes every append as dear as the whole text

function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, parent?: Element): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = className;
  parent?.append(element);
  return element;
}

const header = make('header', 'bar', document.body);
const title = make('h1', 'title', header);
const model = make('span', 'model', header);
const status = make('span', 'status', header);
status.setAttribute('role', 'status');
const actions = make('span', 'actions', header);
const earlier = make('button', 'earlier', document.body);
const log = make('main', 'log', document.body);
log.setAttribute('role', 'log');
log.setAttribute('aria-live', 'off'); // the status line speaks; every word of a stream would be a flood
log.setAttribute('aria-label', 'Messages');
log.tabIndex = 0;
const composer = make('footer', 'composer', document.body);
const input = make('textarea', 'input', composer);
input.rows = 2;
input.setAttribute('aria-label', 'Message');
input.placeholder = 'Message (Enter sends, Shift+Enter breaks the line)';
const send = make('button', 'send', composer);
send.textContent = 'Send';

function button(label: string, action: 'cancel' | 'fork' | 'switchModel'): HTMLButtonElement {
  const element = make('button', `action ${action}`, actions);
  element.textContent = label;
  element.addEventListener('click', () => vscode.postMessage({ type: 'action', action }));
  return element;
}
const cancel = button('Cancel', 'cancel');
button('Fork', 'fork');
button('Switch Model', 'switchModel');

// ---- drawing

class LiveBlock {
  private tail: Text | undefined;
  readonly element: HTMLElement;
  private readonly body: HTMLElement;

  constructor(block: BlockView) {
    this.element = make('section', `block ${block.kind}${block.failed ? ' failed' : ''}`);
    if (block.kind === 'text' || block.kind === 'note') {
      this.body = make('div', 'body', this.element);
    } else {
      const details = make('details', 'fold', this.element);
      details.open = block.kind !== 'result' || block.text.length < 2_000;
      make('summary', 'summary', details).textContent = labelOf(block);
      this.body = make('div', 'body', details);
    }
    this.append(block.text);
  }

  append(text: string): void {
    for (let at = 0; at < text.length; at += CHUNK) {
      const piece = text.slice(at, at + CHUNK);
      if (!this.tail || this.tail.length > CHUNK) {
        this.tail = document.createTextNode('');
        make('span', 'chunk', this.body).append(this.tail);
      }
      this.tail.appendData(piece);
    }
  }
}

function labelOf(block: BlockView): string {
  if (block.kind === 'thinking') return 'Thinking';
  if (block.kind === 'tool') return `Tool call: ${block.title ?? ''}`;
  return block.failed ? 'Tool result: failed' : 'Tool result';
}

class Drawn {
  readonly element: HTMLElement;
  blocks: LiveBlock[] = [];

  constructor(message: MessageView, readonly signature: string) {
    this.element = make('article', `message ${message.role}`);
    make('h2', 'role', this.element).textContent = message.role;
    message.blocks.forEach((block, index) => this.put(index, block));
  }

  put(index: number, block: BlockView): void {
    const next = new LiveBlock(block);
    const before = this.blocks[index];
    if (before) before.element.replaceWith(next.element);
    else this.element.append(next.element);
    this.blocks[index] = next;
  }
}

let drawn = new Map<string, Drawn>();
let live: Drawn | undefined;

function drawHead(head: Head): void {
  title.textContent = head.title;
  model.textContent = head.model;
  status.textContent = head.status;
  document.body.classList.toggle('away', !head.connected);
  document.body.classList.toggle('running', head.running);
  cancel.disabled = !head.running;
  send.disabled = !head.connected || head.running;
}

function drawSnapshot(messages: MessageView[], growing: MessageView | null, hidden: number): void {
  const next = new Map<string, Drawn>();
  for (const message of messages) {
    const signature = JSON.stringify(message);
    const before = drawn.get(message.id);
    next.set(message.id, before?.signature === signature ? before : new Drawn(message, signature));
  }
  drawn = next;
  live = growing ? new Drawn(growing, '') : undefined;
  log.replaceChildren(...[...drawn.values(), ...(live ? [live] : [])].map((one) => one.element));
  live?.element.classList.add('live');
  earlier.hidden = hidden === 0;
  earlier.textContent = `Show ${counted(hidden, 'earlier message')}`;
}

function apply(operation: Operation): void {
  if (operation.op === 'begin') {
    live = new Drawn({ id: operation.id, role: 'assistant', blocks: [] }, '');
    live.element.classList.add('live');
    drawn.set(operation.id, live);
    log.append(live.element);
  } else if (operation.op === 'block') {
    live?.put(operation.index, operation.block);
  } else if (operation.op === 'append') {
    live?.blocks[operation.index]?.append(operation.text);
  } else {
    live?.element.classList.remove('live');
    if (operation.note && live) make('p', 'note', live.element).textContent = operation.note;
    live = undefined;
  }
}

// ---- talking

const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;

window.addEventListener('message', (received: MessageEvent<ToWebview>) => {
  const message = received.data;
  if (message.type === 'session') {
    vscode.setState({ sessionId: message.sessionId }); // a restored window opens the same session
    return;
  }
  if (message.type === 'restore') {
    if (!input.value) input.value = message.text;
    return;
  }
  if (message.type === 'head') {
    drawHead(message.head);
    return;
  }
  const follow = atEnd();
  if (message.type === 'snapshot') {
    drawHead(message.head);
    drawSnapshot(message.messages, message.live, message.earlier);
  } else {
    message.operations.forEach(apply);
    requestAnimationFrame(() => vscode.postMessage({ type: 'painted' }));
  }
  if (follow) log.scrollTop = log.scrollHeight;
});

function sendInput(): void {
  const text = input.value.trim();
  if (!text || send.disabled) return;
  input.value = '';
  send.disabled = true;
  vscode.postMessage({ type: 'send', text });
}
send.addEventListener('click', sendInput);
input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendInput();
});
earlier.hidden = true;
earlier.addEventListener('click', () => vscode.postMessage({ type: 'earlier' }));
vscode.postMessage({ type: 'ready' });
