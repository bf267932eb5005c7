// What the usage view and its webview say to each other.

export interface Bar {
  label: string;
  calls: number;
  failed: number;
  /** Of input (read from a cache, written to one, neither) and output. */
  tokens: number;
  cachedTokens: number;
  /** Null where no price is known. */
  cost: number | null;
  savings: number | null;
  /** Calls whose cost or tokens aren't known. */
  unknown: number;
}

export interface Section {
  by: 'day' | 'model' | 'client';
  bars: Bar[];
}

export interface UsageData {
  days: number;
  currency: string;
  total: Bar;
  today: Bar;
  sections: Section[];
  /** In words: what is not in these numbers. */
  notes: string[];
}

export type ToUsage = { type: 'usage'; data: UsageData } | { type: 'problem'; text: string };
export type FromUsage = { type: 'ready' } | { type: 'days'; days: number } | { type: 'refresh' };
