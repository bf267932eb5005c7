// The editor's messages as canonical ones, and canonical events as the editor's parts.
import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { RequestFailed } from '../../src/failure';
import { Answer, usageReport } from '../../src/models/answer';
import { modelError } from '../../src/models/errors';
import { informationOf } from '../../src/models/information';
import { canonicalMessages, canonicalRequest, samplingOf } from '../../src/models/messages';
import { makeData, makeThinking } from '../../src/models/newer';
import { metadataOf, Replay, thoughtsIn } from '../../src/models/replay';
import { count, money, today, total } from '../../src/money';
import type { Block, CanonicalResponse, ErrorData, Event, ModelInfo, StreamEvent } from '../../src/protocol';
import { handoffWords } from '../../src/reports';

const { Assistant, User } = vscode.LanguageModelChatMessage;
const text = (value: string) => new vscode.LanguageModelTextPart(value);
const call = (id: string, input: object = {}) => new vscode.LanguageModelToolCallPart(id, 'look', input);
const result = (id: string, content: unknown[]) => new vscode.LanguageModelToolResultPart(id, content);

type Request = vscode.LanguageModelChatRequestMessage;
const request = (role: number, ...content: unknown[]) => ({ role, content, name: undefined }) as unknown as Request;
const convert = (...messages: (vscode.LanguageModelChatMessage | Request)[]) =>
  canonicalMessages(messages as Request[], new Replay());

describe('messages', () => {
  it('keep their roles and texts', () => {
    const { messages } = convert(User('hello'), Assistant('hi'), User([text('a'), text('b')] as never));
    assert.deepEqual(messages, [
      { role: 'user', content: [{ type: 'text', text: 'hello' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'hi' }] },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
    ]);
  });

  it('of the system come first as the prompt, later as they are', () => {
    const { messages, system_prompt } = convert(
      request(3, text('be brief')),
      request(3, text('be kind')),
      request(1, text('x')),
      request(3, text('now')),
    );
    assert.equal(system_prompt, 'be brief\n\nbe kind');
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'system'],
    );
  });

  it('with results of tools become a message of results, and one of the rest', () => {
    const { messages } = convert(
      Assistant([call('tu_1', { path: 'a' }), call('tu_2')] as never),
      User([result('tu_1', [text('one')]), result('tu_2', [text('x'), text('y')]), text('go on')] as never),
    );
    assert.deepEqual(messages, [
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'tu_1', name: 'look', input: { path: 'a' } },
          { type: 'tool_use', id: 'tu_2', name: 'look', input: {} },
        ],
      },
      {
        role: 'tool',
        content: [
          { type: 'tool_result', tool_use_id: 'tu_1', content: 'one' },
          {
            type: 'tool_result',
            tool_use_id: 'tu_2',
            content: [
              { type: 'text', text: 'x' },
              { type: 'text', text: 'y' },
            ],
          },
        ],
      },
      { role: 'user', content: [{ type: 'text', text: 'go on' }] },
    ]);
  });

  it('with rendered prompts as results give their text', () => {
    const tree = {
      node: {
        type: 1,
        children: [
          { type: 2, text: 'first' },
          { type: 1, children: [{ type: 2, text: 'second', lineBreakBefore: true }] },
        ],
      },
    };
    const { messages } = convert(User([result('tu_1', [new vscode.LanguageModelPromptTsxPart(tree)])] as never));
    assert.deepEqual(messages[0]?.content, [{ type: 'tool_result', tool_use_id: 'tu_1', content: 'first\nsecond' }]);
  });

  it('that hold nothing are left out', () => {
    assert.deepEqual(convert(User(''), User([] as never)).messages, []);
  });

  it('take media by their type, and notes between chat and providers as no content', function () {
    if (makeData === undefined) return this.skip();
    const bytes = (words: string) => new TextEncoder().encode(words);
    const parts = [
      makeData(bytes('png'), 'image/png'),
      makeData(bytes('pdf'), 'application/pdf'),
      makeData(bytes('{"a":1}'), 'application/json'),
      makeData(bytes('marker'), 'stateful_marker'),
    ];
    const { messages, cache } = convert(request(1, ...parts));
    const base64 = (words: string) => ({ kind: 'base64', data: Buffer.from(words).toString('base64') });
    assert.deepEqual(messages[0]?.content, [
      { type: 'image', source: base64('png'), media_type: 'image/png' },
      { type: 'file', source: base64('pdf'), media_type: 'application/pdf' },
      { type: 'text', text: '{"a":1}' },
    ]);
    assert.equal(cache, undefined);
    const marked = convert(request(1, text('long'), makeData(bytes('ephemeral'), 'cache_control')));
    assert.deepEqual(marked.cache, { mode: 'explicit' });
    assert.deepEqual(marked.messages[0]?.metadata, { cache: true });
  });

  it('bring reasoning of ours back from its metadata, and none of anyone else', function () {
    if (makeThinking === undefined) return this.skip();
    const thought: Block = { type: 'thinking', text: 'hm', provider_raw: { signature: 'sig' } };
    const metadata = { ...metadataOf([thought]), vscode_reasoning_done: true };
    const { messages } = convert(
      request(2, makeThinking('hm', 'id', metadata), makeThinking('other', 'id', { signature: 'x' }), text('so')),
    );
    assert.deepEqual(messages[0]?.content, [thought, { type: 'text', text: 'so' }]);
    for (const broken of [undefined, {}, { modeld: 'no json' }, { modeld: '{}' }, { modeld: '[1, null]' }, { modeld: 3 }]) {
      assert.deepEqual(thoughtsIn(broken as never), []);
    }
  });
});

describe('requests', () => {
  const options = (more: object) =>
    ({ toolMode: vscode.LanguageModelChatToolMode.Auto, ...more }) as vscode.ProvideLanguageModelChatResponseOptions;
  const make = (more: object) => canonicalRequest('a:b', [request(1, text('x'))], options(more), new Replay());

  it('carry tools, and make one of them required where that is asked', () => {
    const tools = [{ name: 'look', description: 'Looks', inputSchema: undefined }];
    const asked = make({ tools, toolMode: vscode.LanguageModelChatToolMode.Required });
    assert.deepEqual(asked.tools, [{ name: 'look', description: 'Looks', input_schema: { type: 'object', properties: {} } }]);
    assert.deepEqual(asked.tool_choice, { type: 'required' });
    assert.equal('tool_choice' in make({ tools: [], toolMode: vscode.LanguageModelChatToolMode.Required }), false);
  });

  it('name who calls', () => {
    assert.equal(make({ requestInitiator: 'acme.agent' }).initiator, 'acme.agent');
    assert.equal(make({}).initiator, 'unknown');
  });

  it('take the options that make sense', () => {
    assert.deepEqual(samplingOf({ temperature: 0.2, top_p: 0.9, max_tokens: 100, stop: 'END', _hidden: 1 }), {
      temperature: 0.2,
      top_p: 0.9,
      max_output_tokens: 100,
      stop_sequences: ['END'],
    });
    assert.deepEqual(samplingOf({ temperature: 3, topP: 'x', maxTokens: 0, stop: [1], conversationId: 'y' }), {});
  });
});

describe('reasoning that the editor loses', () => {
  const answer: Block[] = [
    { type: 'thinking', text: 'hm', provider_raw: { signature: 'sig' } },
    { type: 'text', text: 'I look.' },
    { type: 'tool_use', id: 'tu_1', name: 'look', input: { path: 'a' }, provider_raw: { signature: 'of the call' } },
  ];
  const history: Block[] = [
    { type: 'text', text: 'I look.' },
    { type: 'tool_use', id: 'tu_1', name: 'look', input: { path: 'a' } },
  ];

  it('comes back with its calls', () => {
    const replay = new Replay();
    replay.remember(answer);
    assert.deepEqual(replay.restore(history), answer);
  });

  it('stays away from calls that are others', () => {
    const replay = new Replay();
    replay.remember(answer);
    const changed: Block[] = [{ type: 'tool_use', id: 'tu_1', name: 'look', input: { path: 'b' } }];
    assert.deepEqual(replay.restore(changed), changed);
  });

  it('is forgotten in the order in which it came', () => {
    const replay = new Replay();
    replay.remember(answer);
    for (let number = 0; number < 300; number += 1) {
      replay.remember([{ type: 'tool_use', id: `tu_x${number}`, name: 'look', input: {}, provider_raw: { a: 1 } }]);
    }
    assert.deepEqual(replay.restore(history), history);
  });
});

describe('answers', () => {
  const event = (one: Event): StreamEvent => ({ request_id: 'r', epoch: 'e', cursor: 1, event: one });
  const delta = (value: string): StreamEvent =>
    event({ type: 'text.delta', message_id: 'm', content_block_index: 0, text: value });
  const response = (content: Block[], more: object = {}) =>
    ({ content, stop_reason: 'end_turn', usage: { input_tokens: 1 }, model: 'a:b', ...more }) as CanonicalResponse;

  function listen(): { parts: string[]; answer: Answer } {
    const parts: string[] = [];
    const answer = new Answer((part) => parts.push(describePart(part)));
    return { parts, answer };
  }

  function describePart(part: unknown): string {
    if (part instanceof vscode.LanguageModelTextPart) return part.value;
    if (part instanceof vscode.LanguageModelToolCallPart) return `${part.name}(${JSON.stringify(part.input)})`;
    const { mimeType, value } = part as { mimeType?: string; value?: string };
    return mimeType ?? `<${value}>`;
  }

  it('send the first text at once and join what follows within 50 ms', async () => {
    const { parts, answer } = listen();
    for (const word of ['a', 'b', 'c']) answer.event(delta(word));
    assert.deepEqual(parts, ['a']);
    await new Promise((resolve) => setTimeout(resolve, 80));
    assert.deepEqual(parts, ['a', 'bc']);
    answer.drop();
  });

  it('keep the order of text and calls', () => {
    const { parts, answer } = listen();
    answer.event(delta('a'));
    answer.event(delta('b'));
    answer.event(
      event({ type: 'tool.use_start', message_id: 'm', content_block_index: 1, tool_use_id: 'tu_1', tool_name: 'look' }),
    );
    answer.event(
      event({ type: 'tool.use_end', message_id: 'm', content_block_index: 1, tool_use_id: 'tu_1', final_input: { x: 1 } }),
    );
    answer.event(delta('c'));
    answer.end(response([]));
    assert.deepEqual(
      parts.filter((part) => part !== 'usage'),
      ['a', 'b', 'look({"x":1})', 'c'],
    );
  });

  it('say a refusal that came without text', () => {
    const { parts, answer } = listen();
    answer.end(response([{ type: 'refusal', text: 'No.' }]));
    assert.ok(parts.includes('No.'));
  });

  it('count usage as the editor does', () => {
    const usage = {
      input_tokens: 10,
      cached_input_tokens: 80,
      cache_creation_input_tokens: 10,
      output_tokens: 5,
      reasoning_tokens: 2,
    };
    assert.deepEqual(usageReport(usage), {
      prompt_tokens: 100,
      completion_tokens: 5,
      total_tokens: 105,
      prompt_tokens_details: { cached_tokens: 80, cache_creation_input_tokens: 10 },
      completion_tokens_details: { reasoning_tokens: 2 },
    });
  });
});

describe('errors', () => {
  const failed = (error_class: ErrorData['error_class'], more: Partial<ErrorData> = {}) =>
    new RequestFailed('what to do', -32803, { error_class, message: 'what to do', ...more });

  const CASES: [ErrorData['error_class'], string][] = [
    ['model_not_found', 'NotFound'],
    ['content_filter', 'Blocked'],
    ['quota_exceeded', 'Blocked'],
    ['auth', 'NoPermissions'],
    ['not_configured', 'NoPermissions'],
  ];
  for (const [error_class, code] of CASES) {
    it(`of ${error_class} are ${code}`, () => {
      const error = modelError(failed(error_class));
      assert.ok(error instanceof vscode.LanguageModelError);
      assert.deepEqual([error.code, error.message], [code, 'what to do']);
    });
  }

  it('of other classes keep their words, and say when to come back', () => {
    assert.equal(modelError(failed('server_error')).message, 'what to do');
    assert.equal(modelError(failed('rate_limit', { retry_after_seconds: 7.2 })).message, 'what to do (again in 8 s)');
    assert.ok(modelError(failed('cancelled')) instanceof vscode.CancellationError);
    assert.equal(modelError('odd').message, 'odd');
  });
});

describe('words', () => {
  it('of amounts', () => {
    const shown = [0, 0.00042, 0.004, 0.0123, 1.5, 1234.567].map((amount) => money(amount));
    assert.deepEqual(shown, ['$0.00', '$0.00042', '$0.0040', '$0.01', '$1.50', '$1234.57']);
    assert.deepEqual([money(2, 'CNY'), money(2, 'XYZ')], ['¥2.00', '2.00 XYZ']);
    assert.equal(count(1234567), '1,234,567');
    assert.equal(today(new Date(2026, 0, 5)), '2026-01-05');
    const group = (total_cost: number | null, currency?: string) =>
      ({ key: 'a', calls: 1, usage: {}, total_cost, cache_savings: null, currency }) as never;
    assert.equal(total([group(1), group(0.5), group(2, 'EUR'), group(null)]), '$1.50 + €2.00');
    assert.equal(total([]), '$0.00');
  });

  it('of a handoff', () => {
    const words = handoffWords({
      from_model: 'a:b',
      to_model: 'c:d',
      kept: 12,
      degraded: [{ code: 'content_projected', message: 'an image *as text*' }],
      dropped: [],
      cost: 0.5,
      stay_cost: 0.05,
      currency: 'USD',
    });
    assert.match(words, /From `a:b` to `c:d`: 12 blocks as they are/);
    assert.match(words, /an image \\\*as text\\\*/);
    assert.match(words, /costs \$0\.50 once.*\nStaying costs \$0\.05/);
    assert.doesNotMatch(words, /Dropped/);
  });

  it('of a model', () => {
    const model = {
      id: 'router:maker/model',
      provider: 'router',
      wire_name: 'maker/model',
      wire: 'chat',
      aliases: ['quick'],
      tier: null,
      can_delegate: false,
      capabilities: { tools: true, images: true },
      limits: { max_context_tokens: 1000, max_output_tokens: 5000 },
      pricing: { input: 3, output: 15 },
      availability: 'degraded',
      reason: 'it is slow',
    } as ModelInfo;
    const shown = informationOf(model);
    assert.deepEqual([shown.name, shown.detail, shown.maxInputTokens, shown.maxOutputTokens], ['model', 'router', 500, 500]);
    assert.deepEqual(shown.capabilities, { imageInput: true, toolCalling: true });
    assert.match(shown.tooltip ?? '', /\$3 in, \$15 out per million tokens[^]*also called quick[^]*degraded: it is slow/);
  });
});
