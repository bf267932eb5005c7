// What a model's answer holds that the editor's parts can't carry, kept until the same answer comes back as history.
import type { Block } from '../protocol';

const MAX_ANSWERS = 200;
const METADATA_KEY = 'modeld';

type Thought = Extract<Block, { type: 'thinking' | 'redacted_thinking' }>;
type Call = Extract<Block, { type: 'tool_use' }>;

/** The blocks of reasoning in an answer. */
export function thoughtsOf(content: readonly Block[]): Thought[] {
  return content.filter((block): block is Thought => block.type === 'thinking' || block.type === 'redacted_thinking');
}

/** Metadata of a thinking part that brings its blocks back, with the signatures that providers ask for. */
export function metadataOf(thoughts: readonly Thought[]): Record<string, unknown> {
  return thoughts.length ? { [METADATA_KEY]: JSON.stringify(thoughts) } : {};
}

/** The blocks that `metadataOf` put there; empty for metadata of anyone else's. */
export function thoughtsIn(metadata: Record<string, unknown> | undefined): Thought[] {
  const value = metadata?.[METADATA_KEY];
  if (typeof value !== 'string') return [];
  try {
    const blocks: unknown = JSON.parse(value);
    return Array.isArray(blocks)
      ? thoughtsOf(blocks.filter((block) => typeof block === 'object' && block !== null) as Block[])
      : [];
  } catch {
    return [];
  }
}

/**
 * Answers with tool calls, by the ids of their calls. Providers want reasoning and signatures back with the results of the
 * calls; consumers that know nothing of thinking parts drop them in between.
 */
export class Replay {
  private readonly answers = new Map<string, readonly Block[]>();

  remember(content: readonly Block[]): void {
    const calls = content.filter((block) => block.type === 'tool_use');
    const opaque = content.some((block) => 'provider_raw' in block && block.provider_raw);
    if (!opaque) return;
    for (const call of calls) {
      this.answers.delete(call.id);
      this.answers.set(call.id, content);
    }
    for (const oldest of this.answers.keys()) {
      if (this.answers.size <= MAX_ANSWERS) break;
      this.answers.delete(oldest);
    }
  }

  /** The same content with what was lost on the way: nothing is added to calls that aren't the very ones we gave out. */
  restore(content: readonly Block[]): Block[] {
    const calls = content.filter((block): block is Call => block.type === 'tool_use');
    const answer = calls.map((call) => this.answers.get(call.id)).find((found) => found !== undefined);
    if (answer === undefined) return [...content];
    const given = new Map(answer.filter((block): block is Call => block.type === 'tool_use').map((call) => [call.id, call]));
    if (!calls.every((call) => same(call, given.get(call.id)))) return [...content];
    const restored = content.map((block) => (block.type === 'tool_use' ? (given.get(block.id) ?? block) : block));
    return thoughtsOf(content).length ? restored : [...thoughtsOf(answer), ...restored];
  }
}

function same(call: Call, given: Call | undefined): boolean {
  return given !== undefined && call.name === given.name && JSON.stringify(call.input) === JSON.stringify(given.input);
}
