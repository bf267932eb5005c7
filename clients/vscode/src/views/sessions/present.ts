// How sessions read: titles, descriptions, what a model switch would mean. Pure.
import { count, counted, money } from '../../money';
import type { ForkPoints, HandoffReport, Message, Session, Warning } from '../../protocol';

const TITLE_LENGTH = 80;
const WARNINGS_SHOWN = 6;

/** The title that was given, else what is known of it. Text of other clients: control characters are taken out. */
export function titleOf(session: Session): string {
  const title = session.metadata?.['title'];
  if (typeof title === 'string' && title.trim()) return oneLine(title, TITLE_LENGTH);
  return `Session ${session.session_id.replace(/^ses_/, '').slice(-6)}`;
}

export function oneLine(text: string, length: number): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

export function describeSession(session: Session, now_ms: number): string {
  const parts = [
    session.running_turn_id ? 'answering' : describeAge(session.updated_at, now_ms),
    session.model ?? 'default model',
    counted(session.message_count ?? 0, 'message'),
  ];
  const last = session.last_turn?.status;
  if (!session.running_turn_id && last && last !== 'completed') parts.push(last);
  return parts.join(' · ');
}

export function describeAge(timestamp: string, now_ms: number): string {
  const seconds = Math.max(0, (now_ms - Date.parse(timestamp)) / 1000);
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

export interface Tree {
  roots: Session[];
  children: Map<string, Session[]>;
}

/** Forks stand below where they came from, as far as that one is in the list too. */
export function arrange(sessions: readonly Session[]): Tree {
  const known = new Set(sessions.map((session) => session.session_id));
  const children = new Map<string, Session[]>();
  const roots: Session[] = [];
  for (const session of sessions) {
    const parent = session.parent_id;
    if (!parent || !known.has(parent) || parent === session.session_id) roots.push(session);
    else children.set(parent, [...(children.get(parent) ?? []), session]);
  }
  return { roots, children };
}

/** What a switch would keep, change and cost, as lines of a dialog. */
export function describeHandoff(report: HandoffReport): string {
  const lines = [`${report.from_model ?? 'No model yet'} → ${report.to_model}`, ''];
  lines.push(`${report.kept} ${report.kept === 1 ? 'block is' : 'blocks are'} kept as they are.`);
  lines.push(...listWarnings('Changed to another form', report.degraded));
  lines.push(...listWarnings('Dropped', report.dropped));
  lines.push(...listWarnings('Refused: a turn would fail', report.refused ?? []));
  if (report.input_tokens != null) lines.push('', `History: ${count(report.input_tokens)} tokens.`);
  if (report.cost != null) lines.push(`Reading it there costs ${money(report.cost, report.currency ?? undefined)} once, without a cache.`);
  if (report.stay_cost != null) lines.push(`Staying costs ${money(report.stay_cost, report.currency ?? undefined)} from the cache.`);
  return lines.join('\n');
}

function listWarnings(heading: string, warnings: readonly Warning[]): string[] {
  if (!warnings.length) return [];
  const shown = warnings.slice(0, WARNINGS_SHOWN).map((warning) => `  • ${oneLine(warning.message, 160)}`);
  if (warnings.length > WARNINGS_SHOWN) shown.push(`  • and ${warnings.length - WARNINGS_SHOWN} more`);
  return [`${heading}: ${warnings.length}`, ...shown];
}

export interface ForkChoice {
  messageId: string;
  label: string;
  description: string;
}

/** Where a fork is safe, latest first, each with the beginning of its message. */
export function forkChoices(points: ForkPoints, messages: readonly Message[]): ForkChoice[] {
  const byId = new Map(messages.map((message, at) => [message.id, { message, at }]));
  return points.fork_points
    .map((point) => {
      const found = byId.get(point.message_id);
      const text = found ? textOf(found.message) : '';
      return {
        messageId: point.message_id,
        label: oneLine(text, 90) || '(no text)',
        description: found ? `after message ${found.at + 1}, ${found.message.role}` : point.message_id,
      };
    })
    .reverse();
}

function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  const texts = message.content.map((block) => ('text' in block ? block.text : block.type === 'tool_use' ? `${block.name}(…)` : ''));
  return texts.filter(Boolean).join(' ').slice(0, 400);
}

/** A file name for an export. */
export function exportName(session: Session): string {
  const name = titleOf(session).replace(/[^\p{L}\p{N}_-]+/gu, '-').replace(/^-+|-+$/g, '');
  return `${name.slice(0, 60) || 'session'}.json`;
}
