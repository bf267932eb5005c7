// What the stream panel and its webview say to each other: plain data, already reduced to what is shown.

export interface BlockView {
  kind: 'text' | 'thinking' | 'tool' | 'result' | 'note';
  text: string;
  title?: string;
  failed?: boolean;
}

export interface MessageView {
  id: string;
  role: string;
  blocks: BlockView[];
}

export interface Head {
  title: string;
  model: string;
  status: string;
  running: boolean;
  connected: boolean;
}

export type Operation =
  | { op: 'begin'; id: string; model: string }
  | { op: 'block'; index: number; block: BlockView }
  | { op: 'append'; index: number; text: string }
  | { op: 'end'; note: string };

export type ToWebview =
  | { type: 'snapshot'; head: Head; messages: MessageView[]; earlier: number; live: MessageView | null }
  | { type: 'operations'; operations: Operation[] }
  | { type: 'head'; head: Head }
  | { type: 'session'; sessionId: string }
  | { type: 'restore'; text: string };

export type FromWebview =
  | { type: 'ready' }
  | { type: 'painted' }
  | { type: 'earlier' }
  | { type: 'action'; action: 'cancel' | 'fork' | 'switchModel' }
  | { type: 'send'; text: string };
