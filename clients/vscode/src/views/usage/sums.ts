// From the ledger's groups to what the usage view draws. Pure.
import { counted } from '../../money';
import type { UsageGroup } from '../../protocol';
import type { Bar, Section, UsageData } from './messages';

const ROWS = 12; // models or clients shown by name; the rest is one row

export interface Groups {
  day: readonly UsageGroup[];
  model: readonly UsageGroup[];
  client: readonly UsageGroup[];
}

/** `today` is YYYY-MM-DD where the daemon is. Sums of several currencies are never added: the dearest one is drawn. */
export function summarize(groups: Groups, days: number, today: string): UsageData {
  const currency = mainCurrency(groups.model);
  const inCurrency = (group: UsageGroup) => !group.currency || group.currency === currency;
  const others = new Set(groups.model.filter((group) => !inCurrency(group)).map((group) => group.currency ?? ''));
  const byDay = mergeKeys(groups.day.filter(inCurrency));
  const notes: string[] = [];
  if (others.size) notes.push(`Calls in ${[...others].join(', ')} are not in these sums; "modeld usage" shows them.`);
  const total = groups.model.filter(inCurrency).reduce(add, emptyBar('Total'));
  if (total.unknown) notes.push(`No price or token count is known of ${counted(total.unknown, 'call')}.`);
  const sections: Section[] = [
    { by: 'day', bars: lastDays(today, days).map((day) => byDay.get(day) ?? emptyBar(day)) },
    { by: 'model', bars: largest([...mergeKeys(groups.model.filter(inCurrency)).values()]) },
    { by: 'client', bars: largest([...mergeKeys(groups.client.filter(inCurrency)).values()]) },
  ];
  return { days, currency, total, today: byDay.get(today) ?? emptyBar(today), sections, notes };
}

function mainCurrency(groups: readonly UsageGroup[]): string {
  const sums = new Map<string, number>();
  for (const group of groups) if (group.currency) sums.set(group.currency, (sums.get(group.currency) ?? 0) + (group.total_cost ?? 0));
  return [...sums].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'USD';
}

function emptyBar(label: string): Bar {
  return { label, calls: 0, failed: 0, tokens: 0, cachedTokens: 0, cost: null, savings: null, unknown: 0 };
}

function add(bar: Bar, group: UsageGroup): Bar {
  const plus = (a: number | null, b: number | null | undefined) => (b == null ? a : (a ?? 0) + b);
  return {
    label: bar.label,
    calls: bar.calls + group.calls,
    failed: bar.failed + (group.failed_calls ?? 0),
    tokens: bar.tokens + (group.usage.total_tokens ?? 0),
    cachedTokens: bar.cachedTokens + (group.usage.cached_input_tokens ?? 0),
    cost: plus(bar.cost, group.total_cost),
    savings: plus(bar.savings, group.cache_savings),
    unknown: bar.unknown + Math.max(group.unknown_calls ?? 0, group.unpriced_calls ?? 0),
  };
}

function mergeKeys(groups: readonly UsageGroup[]): Map<string, Bar> {
  const bars = new Map<string, Bar>();
  for (const group of groups) {
    const label = group.key || '(none)';
    bars.set(label, add(bars.get(label) ?? emptyBar(label), group));
  }
  return bars;
}

function largest(bars: Bar[]): Bar[] {
  const sorted = bars.sort((a, b) => (b.cost ?? 0) - (a.cost ?? 0) || b.tokens - a.tokens);
  if (sorted.length <= ROWS) return sorted;
  const rest = sorted.slice(ROWS - 1);
  const sum = rest.reduce<Bar>(
    (all, bar) => ({
      label: all.label,
      calls: all.calls + bar.calls,
      failed: all.failed + bar.failed,
      tokens: all.tokens + bar.tokens,
      cachedTokens: all.cachedTokens + bar.cachedTokens,
      cost: bar.cost === null ? all.cost : (all.cost ?? 0) + bar.cost,
      savings: bar.savings === null ? all.savings : (all.savings ?? 0) + bar.savings,
      unknown: all.unknown + bar.unknown,
    }),
    emptyBar(`${rest.length} others`),
  );
  return [...sorted.slice(0, ROWS - 1), sum];
}

export function lastDays(today: string, days: number): string[] {
  const end = Date.parse(`${today}T12:00:00Z`);
  return Array.from({ length: days }, (_, at) => new Date(end - (days - 1 - at) * 86_400_000).toISOString().slice(0, 10));
}
