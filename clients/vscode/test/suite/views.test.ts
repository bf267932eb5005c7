// What the views do with events, sessions and sums: the parts of them that draw nothing.
import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { Connection } from '../../src/connection';
import type { Event, Session, SessionSnapshot, StreamEvent, UsageGroup } from '../../src/protocol';
import { arrange, describeAge, describeHandoff, describeSession, exportName, forkChoices, titleOf } from '../../src/views/sessions/present';
import { Follower, type FollowerSink } from '../../src/views/stream/follower';
import type { Operation } from '../../src/views/stream/messages';
import { Transcript, merge } from '../../src/views/stream/transcript';
import { lastDays, summarize } from '../../src/views/usage/sums';

const USAGE = { input_tokens: 0, output_tokens: 0, cached_input_tokens: 0, cache_creation_input_tokens: 0, total_tokens: 0 };
const NOW = Date.parse('2026-03-01T12:00:00Z');

function session(id: string, more: Partial<Session> = {}): Session {
  return { session_id: `ses_${id}`, model: 'sim:echo', created_at: '2026-03-01T11:00:00Z', updated_at: '2026-03-01T11:58:30Z', ...more };
}
const text = (at: number, words: string): Event => ({ type: 'text.delta', message_id: 'm', content_block_index: at, text: words });
const start: Event = { type: 'message.start', message_id: 'm', model: 'sim:echo', provider: 'sim' };
const complete: Event = { type: 'message.complete', message_id: 'm', stop_reason: 'end_turn', final_content: [{ type: 'text', text: 'ab' }], usage: USAGE };

describe('a transcript', () => {
  it('grows by events and ends with the whole message', () => {
    const transcript = new Transcript();
    const told = [start, text(0, 'a'), text(0, 'b')].flatMap((event) => transcript.apply(event));
    assert.deepEqual(told.map((one) => one.op), ['begin', 'block', 'append']);
    assert.deepEqual(told[0], { op: 'begin', id: 'm', model: 'sim:echo' });
    assert.equal(transcript.live?.blocks[0]?.text, 'ab');
    assert.deepEqual(transcript.apply(complete), [{ op: 'end', note: '' }]);
    assert.equal(transcript.live, undefined);
    assert.deepEqual(transcript.messages, [{ id: 'm', role: 'assistant', blocks: [{ kind: 'text', text: 'ab' }] }]);
  });

  it('shows arguments of a tool as they come, and whole at the end', () => {
    const transcript = new Transcript();
    transcript.apply(start);
    transcript.apply({ type: 'tool.use_start', message_id: 'm', content_block_index: 1, tool_use_id: 't', tool_name: 'look_up' });
    transcript.apply({ type: 'tool.use_input_delta', message_id: 'm', content_block_index: 1, tool_use_id: 't', partial_json: '{"a"' });
    assert.deepEqual(transcript.live?.blocks[1], { kind: 'tool', title: 'look_up', text: '{"a"' });
    assert.deepEqual(transcript.live?.blocks[0], { kind: 'note', text: '' }, 'a block without events keeps its place');
    transcript.apply({ type: 'tool.use_end', message_id: 'm', content_block_index: 1, tool_use_id: 't', final_input: { a: 1 } });
    assert.deepEqual(transcript.live?.blocks[1], { kind: 'tool', title: 'look_up', text: '{\n  "a": 1\n}' });
  });

  it('begins in the middle of a turn', () => {
    const transcript = new Transcript();
    const turn = { turn_id: 't', request_id: 'r', model: 'sim:echo', input: [{ id: 'u', role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }], content: [{ type: 'text' as const, text: 'He' }], message_id: 'm' };
    transcript.load({ session: session('1'), messages: [], turn });
    assert.deepEqual(transcript.apply(text(0, 'llo')), [{ op: 'append', index: 0, text: 'llo' }]);
    assert.equal(transcript.live?.blocks[0]?.text, 'Hello');
    assert.equal(transcript.messages[0]?.id, 'u');
  });

  it('costs a frame one operation a block, whatever came, and shares nothing with it', () => {
    const transcript = new Transcript();
    const pending: Operation[] = [];
    for (const event of [start, ...Array.from({ length: 1_000 }, () => text(0, 'word '))]) {
      for (const operation of transcript.apply(event)) merge(pending, operation);
    }
    assert.deepEqual(pending.map((one) => one.op), ['begin', 'block']);
    assert.equal(pending[1]?.op === 'block' && pending[1].block.text.length, 5_000);
    assert.equal(transcript.live?.blocks[0]?.text.length, 5_000);
  });

  it('keeps up with far more than a thousand events a second', () => {
    const transcript = new Transcript();
    const pending: Operation[] = [];
    const began = performance.now();
    for (let at = 0; at < 100_000; at += 1) for (const operation of transcript.apply(text(0, 'word '))) merge(pending, operation);
    const milliseconds = performance.now() - began;
    assert.ok(milliseconds < 2_000, `100,000 events took ${milliseconds} ms`);
  });
});

/** A connection whose daemon is the test: requests are kept until they are answered. */
class Scripted {
  state = 'ready';
  readonly changed = new vscode.EventEmitter<string>();
  readonly onDidChangeState = this.changed.event;
  readonly handlers = new Map<string, (params: unknown) => void>();
  readonly asked: { method: string; params: Record<string, unknown>; answer: (result: unknown) => void; refuse: (error: Error) => void }[] = [];

  onNotification(method: string, handler: (params: never) => void): vscode.Disposable {
    this.handlers.set(method, handler as (params: unknown) => void);
    return { dispose: () => this.handlers.delete(method) };
  }

  request(method: string, params: Record<string, unknown>): Promise<unknown> {
    return new Promise((answer, refuse) => this.asked.push({ method, params, answer, refuse }));
  }

  event(cursor: number, epoch = 'e1', session_id = 's'): void {
    const params: StreamEvent = { request_id: 'r', epoch, cursor, session_id, event: text(0, String(cursor)) };
    this.handlers.get('stream/event')?.(params);
  }
}

class Sink implements FollowerSink {
  heard: string[] = [];
  load(_snapshot: SessionSnapshot): void {
    this.heard.push('snapshot');
  }
  event(event: StreamEvent): void {
    this.heard.push(String(event.cursor));
  }
  state(connected: boolean, problem?: string): void {
    this.heard.push(problem ?? (connected ? 'connected' : 'away'));
  }
  deleted(): void {
    this.heard.push('deleted');
  }
}

describe('a follower', () => {
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const snapshot = { session: session('s'), messages: [] };

  async function follow(): Promise<{ daemon: Scripted; sink: Sink; follower: Follower }> {
    const daemon = new Scripted();
    const sink = new Sink();
    const follower = new Follower(daemon as unknown as Connection, 's', sink);
    daemon.asked.shift()?.answer({ epoch: 'e1', cursor: 3, snapshot });
    await settled();
    sink.heard = [];
    return { daemon, sink, follower };
  }

  it('drops what the snapshot holds, and holds back what comes before it', async () => {
    const daemon = new Scripted();
    const sink = new Sink();
    new Follower(daemon as unknown as Connection, 's', sink);
    for (const cursor of [2, 3, 4]) daemon.event(cursor);
    daemon.asked[0]?.answer({ epoch: 'e1', cursor: 3, snapshot });
    await settled();
    daemon.event(5);
    assert.deepEqual(sink.heard, ['snapshot', 'connected', '4', '5']);
  });

  it('hears nothing twice, nothing of another session or epoch', async () => {
    const { daemon, sink } = await follow();
    for (const cursor of [4, 4, 5]) daemon.event(cursor);
    daemon.event(6, 'e0');
    daemon.event(6, 'e1', 'another');
    assert.deepEqual(sink.heard, ['4', '5']);
  });

  it('goes on from its cursor once the connection is back', async () => {
    const { daemon, sink } = await follow();
    daemon.event(4);
    daemon.state = 'reconnecting';
    daemon.changed.fire('reconnecting');
    daemon.state = 'ready';
    daemon.changed.fire('ready');
    assert.deepEqual(daemon.asked[0]?.params, { session_id: 's', epoch: 'e1', cursor: 4 });
    daemon.asked[0]?.answer({ epoch: 'e1', cursor: 4 });
    await settled();
    daemon.event(5);
    assert.deepEqual(sink.heard, ['4', 'away', 'connected', 'connected', '5']);
  });

  it('asks for everything after a gap, and where an event is missing', async () => {
    const { daemon, sink } = await follow();
    daemon.handlers.get('stream/gap')?.({ session_id: 's' });
    assert.deepEqual(daemon.asked[0]?.params, { session_id: 's' });
    daemon.asked.shift()?.answer({ epoch: 'e1', cursor: 9, snapshot });
    await settled();
    daemon.event(12);
    assert.deepEqual(daemon.asked[0]?.params, { session_id: 's' });
    daemon.asked.shift()?.answer({ epoch: 'e1', cursor: 12, snapshot });
    await settled();
    daemon.event(13);
    assert.deepEqual(sink.heard, ['snapshot', 'connected', 'snapshot', 'connected', '13']);
  });

  it('says why it can not follow, and no more once it is disposed of', async () => {
    const daemon = new Scripted();
    const sink = new Sink();
    const follower = new Follower(daemon as unknown as Connection, 's', sink);
    daemon.asked.shift()?.refuse(new Error('no session has the id s'));
    await settled();
    assert.deepEqual(sink.heard, ['no session has the id s']);
    follower.dispose();
    assert.equal(daemon.asked[0]?.method, 'session/unsubscribe');
    assert.equal(daemon.handlers.size, 0);
  });
});

describe('sessions', () => {
  it('have the title they were given, on one line, or one of their own', () => {
    assert.equal(titleOf(session('abcdef123456')), 'Session 123456');
    assert.equal(titleOf(session('1', { metadata: { title: ' Two\nlines\u202e ' } })), 'Two lines');
    assert.equal(titleOf(session('123456', { metadata: { title: 7 } })), 'Session 123456');
  });

  it('tell what they are at', () => {
    assert.equal(describeSession(session('1', { message_count: 1 }), NOW), '1 min ago · sim:echo · 1 message');
    assert.equal(describeSession(session('1', { running_turn_id: 't', model: null }), NOW), 'answering · default model · 0 messages');
    assert.match(describeSession(session('1', { last_turn: { turn_id: 't', status: 'interrupted' } }), NOW), /interrupted$/);
    assert.deepEqual(['2026-03-01T11:59:59Z', '2026-03-01T09:00:00Z', '2026-02-27T12:00:00Z', 'never'].map((at) => describeAge(at, NOW)), ['just now', '3 h ago', '2 d ago', '']);
  });

  it('stand below what they were forked from, as far as that is shown', () => {
    const tree = arrange([session('c', { parent_id: 'ses_a' }), session('a'), session('d', { parent_id: 'ses_gone' }), session('e', { parent_id: 'ses_e' })]);
    assert.deepEqual(tree.roots.map((one) => one.session_id), ['ses_a', 'ses_d', 'ses_e']);
    assert.deepEqual(tree.children.get('ses_a')?.map((one) => one.session_id), ['ses_c']);
  });

  it('are forked where that is safe, latest first', () => {
    const messages = [{ id: 'a', role: 'user' as const, content: 'Hi' }, { id: 'b', role: 'assistant' as const, content: [{ type: 'tool_use' as const, id: 't', name: 'f', input: {} }] }];
    const choices = forkChoices({ fork_points: [{ message_id: 'a' }, { message_id: 'b' }], unsafe: [] }, messages as never);
    assert.deepEqual(choices.map((one) => [one.label, one.description]), [['f(…)', 'after message 2, assistant'], ['Hi', 'after message 1, user']]);
  });

  it('tell the price of a switch, and what is lost', () => {
    const lost = Array.from({ length: 8 }, (_, at) => ({ code: 'content_dropped', message: `block ${at}` }));
    const words = describeHandoff({ from_model: 'a:b', to_model: 'c:d', kept: 1, degraded: [], dropped: lost, input_tokens: 1200, cost: 0.5, stay_cost: 0.05, currency: 'USD' });
    for (const part of ['a:b → c:d', '1 block is kept', 'Dropped: 8', 'and 2 more', '1,200 tokens', '$0.50', '$0.05']) assert.ok(words.includes(part), `${part} in ${words}`);
    assert.ok(!words.includes('Refused'));
  });

  it('have file names that any system takes', () => {
    assert.equal(exportName(session('1', { metadata: { title: '../a: b/c?' } })), 'a-b-c.json');
    assert.equal(exportName(session('1', { metadata: { title: '...' } })), 'session.json');
  });
});

describe('usage', () => {
  const group = (key: string, more: Partial<UsageGroup> = {}): UsageGroup => ({ key, calls: 1, usage: { ...USAGE, total_tokens: 10, cached_input_tokens: 4 }, total_cost: 1, cache_savings: 0.5, currency: 'USD', ...more });

  it('has every day of the range, in order', () => {
    assert.deepEqual(lastDays('2026-03-01', 3), ['2026-02-27', '2026-02-28', '2026-03-01']);
    const data = summarize({ day: [group('2026-02-28')], model: [group('a')], client: [group('')] }, 3, '2026-03-01');
    assert.deepEqual(data.sections[0]?.bars.map((bar) => [bar.label, bar.cost]), [['2026-02-27', null], ['2026-02-28', 1], ['2026-03-01', null]]);
    assert.equal(data.sections[2]?.bars[0]?.label, '(none)');
    assert.deepEqual([data.total.cost, data.total.savings, data.total.cachedTokens, data.today.calls], [1, 0.5, 4, 0]);
  });

  it('never adds two currencies, and says what it leaves out', () => {
    const groups = [group('a', { currency: 'EUR', total_cost: 9 }), group('b'), group('c', { total_cost: null, cache_savings: null, currency: null, unpriced_calls: 2 })];
    const data = summarize({ day: [], model: groups, client: [] }, 7, '2026-03-01');
    assert.equal(data.currency, 'EUR');
    assert.equal(data.total.cost, 9);
    assert.deepEqual(data.notes, ['Calls in USD are not in these sums; "modeld usage" shows them.', 'No price or token count is known of 2 calls.']);
  });

  it('sums up the many that cost least', () => {
    const groups = Array.from({ length: 20 }, (_, at) => group(`m${at}`, { total_cost: at }));
    const bars = summarize({ day: [], model: groups, client: [] }, 7, '2026-03-01').sections[1]?.bars ?? [];
    assert.deepEqual([bars.length, bars[0]?.label, bars[11]?.label, bars[11]?.cost], [12, 'm19', '9 others', 36]);
  });
});
