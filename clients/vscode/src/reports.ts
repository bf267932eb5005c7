// What the daemon knows, as Markdown for the chat: lists, for the chat is narrow and a table in it breaks within words.
import { priceOf } from './models/information';
import { count, counted, money } from './money';
import type { HandoffReport, ModelInfo, UsageGroup } from './protocol';

export function modelList(models: readonly ModelInfo[]): string {
  return models.map((model) => `- ${[modelNames(model), ...modelNotes(model)].join(', ')}`).join('\n');
}

function modelNames(model: ModelInfo): string {
  const aliases = model.aliases.length ? ` (${model.aliases.map(code).join(', ')})` : '';
  return code(model.id) + aliases;
}

function modelNotes(model: ModelInfo): string[] {
  const context = model.limits.max_context_tokens;
  const trouble =
    model.availability === 'available' ? '' : `**${model.availability}**${model.reason ? `: ${escaped(model.reason)}` : ''}`;
  return [model.default ? '**default**' : '', context ? `${count(context)} tokens` : '', priceOf(model.pricing), trouble].filter(
    Boolean,
  );
}

export function usageList(groups: readonly UsageGroup[]): string {
  return groups.length ? groups.map(usageLine).join('\n') : 'Nothing was spent.';
}

function usageLine({ key, calls, usage, total_cost, cache_savings, currency }: UsageGroup): string {
  const input = (usage.input_tokens ?? 0) + (usage.cached_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
  const amount = (value: number) => money(value, currency ?? 'USD');
  const parts = [
    total_cost == null ? 'cost unknown' : `**${amount(total_cost)}**`,
    counted(calls, 'call'),
    `${count(input)} tokens in, ${count(usage.output_tokens ?? 0)} out`,
  ];
  if (cache_savings) parts.push(`${amount(cache_savings)} saved by caches`);
  return `- ${key ? `${code(key)}: ` : ''}${parts.join(', ')}`;
}

/** What a switch of models would do, in words. */
export function handoffWords(report: HandoffReport): string {
  const lines = [
    `From ${code(report.from_model ?? 'no model')} to ${code(report.to_model)}: ${counted(report.kept, 'block')} as they are.`,
  ];
  const listed = (what: string, warnings: HandoffReport['dropped'] | undefined) =>
    warnings?.length ? [`\n${what}:\n${warnings.map(({ message }) => `- ${escaped(message)}`).join('\n')}`] : [];
  lines.push(...listed('Kept in another form', report.degraded), ...listed('Dropped', report.dropped));
  lines.push(...listed('Not possible there, so that a turn would fail', report.refused));
  const currency = report.currency ?? 'USD';
  if (report.cost != null) lines.push(`\nReading the history there costs ${money(report.cost, currency)} once, without a cache.`);
  if (report.stay_cost != null) lines.push(`Staying costs ${money(report.stay_cost, currency)}.`);
  return lines.join('\n');
}

export function code(text: string): string {
  return `\`${text.replaceAll('`', "'")}\``;
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|]/g, '\\$&');
}
