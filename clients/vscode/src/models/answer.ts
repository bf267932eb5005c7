// A model's events as parts of the editor's.
import * as vscode from 'vscode';
import type { CanonicalResponse, StreamEvent, Usage } from '../protocol';
import { makeData, makeThinking, Note } from './newer';
import { metadataOf, thoughtsOf } from './replay';

/**
 * The extension host sends parts on after 30 ms of silence, or when more than 30 wait: a fast stream arrives in bursts. Parts
 * that are further apart than that are sent one by one.
 */
const PAUSE_MS = 50;

export type Part = vscode.LanguageModelResponsePart;
type Kind = 'text' | 'thinking';

/** Reports an answer's parts: the first at once, later text joined for 50 ms, in the order in which it came. */
export class Answer {
  private kind: Kind = 'text';
  private waiting = '';
  private timer: NodeJS.Timeout | undefined;
  private thought = false;
  private readonly names = new Map<string, string>();
  /** Whether anything was reported that a person can read. */
  said = false;

  constructor(private readonly report: (part: Part) => void) {}

  event({ event }: StreamEvent): void {
    switch (event.type) {
      case 'text.delta':
        return this.add('text', event.text);
      case 'thinking.delta':
        return this.add('thinking', event.text);
      case 'tool.use_end':
        return this.call(event.tool_use_id, event.final_input);
      case 'tool.use_start':
        this.names.set(event.tool_use_id, event.tool_name);
        return undefined;
      default:
        return undefined;
    }
  }

  /** The end of a whole answer: what waits, what ends the thinking, what was used. */
  end(response: CanonicalResponse): void {
    this.flush();
    for (const block of response.content) if (block.type === 'refusal' && !this.said) this.tell(block.text);
    this.endThinking(response);
    this.usage(response.usage);
  }

  /** Forgets what waits: nobody reads it any more. */
  drop(): void {
    this.waiting = '';
    this.flush();
  }

  /** Sends what waits, and nothing later. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const text = this.waiting;
    this.waiting = '';
    if (!text) return;
    if (this.kind === 'text') this.tell(text);
    else this.think(text);
  }

  private add(kind: Kind, text: string): void {
    if (kind !== this.kind) this.flush();
    this.kind = kind;
    this.waiting += text;
    if (this.timer !== undefined) return;
    this.flush();
    this.timer = setTimeout(() => this.flush(), PAUSE_MS);
  }

  private tell(text: string): void {
    this.said = true;
    this.report(new vscode.LanguageModelTextPart(text));
  }

  private think(text: string): void {
    if (makeThinking === undefined) return;
    this.thought = true;
    this.report(makeThinking(text) as unknown as Part);
  }

  /** Newer editors close their thinking box at this mark; its metadata brings the signatures back with the history. */
  private endThinking(response: CanonicalResponse): void {
    const metadata = metadataOf(thoughtsOf(response.content));
    if (makeThinking === undefined || (!this.thought && !Object.keys(metadata).length)) return;
    this.report(makeThinking('', '', { ...metadata, vscode_reasoning_done: true }) as unknown as Part);
  }

  private call(id: string, input: Record<string, unknown>): void {
    this.flush();
    this.said = true;
    this.report(new vscode.LanguageModelToolCallPart(id, this.names.get(id) ?? '', input));
  }

  /** The form in which the editor's own chat reads usage; every other consumer passes over data it doesn't know. */
  private usage(usage: Usage): void {
    if (makeData === undefined) return;
    const report = JSON.stringify(usageReport(usage));
    this.report(makeData(new TextEncoder().encode(report), Note.usage) as unknown as Part);
  }
}

/** Disjoint counts as the editor counts: all input together, of it what came from the cache. */
export function usageReport(usage: Usage): object {
  const { input_tokens = 0, cached_input_tokens = 0, cache_creation_input_tokens = 0, output_tokens = 0 } = usage;
  const prompt = input_tokens + cached_input_tokens + cache_creation_input_tokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: output_tokens,
    total_tokens: prompt + output_tokens,
    prompt_tokens_details: { cached_tokens: cached_input_tokens, cache_creation_input_tokens },
    ...(usage.reasoning_tokens == null ? {} : { completion_tokens_details: { reasoning_tokens: usage.reasoning_tokens } }),
  };
}
