// Amounts as people read them.
import type { UsageGroup } from './protocol';

const SYMBOLS: Record<string, string> = { USD: '$', EUR: '€', GBP: '£', CNY: '¥' };

/** With two decimals, or with as many as it takes to see the first two digits of a small amount. */
export function money(amount: number, currency = 'USD'): string {
  const size = Math.abs(amount);
  const decimals = size > 0 && size < 0.01 ? Math.min(8, 1 - Math.floor(Math.log10(size))) : 2;
  const text = amount.toFixed(decimals);
  const symbol = SYMBOLS[currency];
  return symbol ? symbol + text : `${text} ${currency}`;
}

/** The sum of each currency; `$0.00` where nothing was spent. */
export function total(groups: readonly UsageGroup[]): string {
  const sums = new Map<string, number>();
  for (const group of groups) {
    if (group.total_cost == null) continue;
    const currency = group.currency ?? 'USD';
    sums.set(currency, (sums.get(currency) ?? 0) + group.total_cost);
  }
  return [...sums].map(([currency, amount]) => money(amount, currency)).join(' + ') || money(0);
}

/** 1234567 as 1,234,567, whatever the editor's language. */
export function count(number: number): string {
  return number.toLocaleString('en-US');
}

/** `1 call`, `2,000 calls`. */
export function counted(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? '' : 's'}`;
}

/** Today, as the daemon's usage methods take it. */
export function today(now = new Date()): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}
