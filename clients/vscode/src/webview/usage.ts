/// <reference lib="dom" />
// The usage view's page: a chart of days and rows of models and clients, as SVG and tables made node by node.
import { counted, money } from '../money';
import type { Bar, FromUsage, Section, ToUsage, UsageData } from '../views/usage/messages';

declare function acquireVsCodeApi(): { postMessage(message: FromUsage): void };
const vscode = acquireVsCodeApi();
const SVG = 'http://www.w3.org/2000/svg';
const CHART = { width: 320, height: 132, left: 2, bottom: 16, top: 14 };
const DATE_WIDTH = 26; // of `12-31` in the chart's small letters
const RANGES = [7, 30, 90];

function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, text?: string): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function draw(tag: string, attributes: Record<string, string | number>, text?: string): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const cost = (value: number | null, currency: string) => (value === null ? 'no price' : money(value, currency));
const calls = (bar: Bar) => `${counted(bar.calls, 'call')}${bar.failed ? `, ${bar.failed} failed` : ''}`;
const sentence = (bar: Bar, currency: string) =>
  `${bar.label}: ${cost(bar.cost, currency)}, ${money(bar.savings ?? 0, currency)} saved by caches, ${calls(bar)}, ${compact.format(bar.tokens)} tokens`;

// ---- parts

function tile(label: string, value: string, detail: string): HTMLElement {
  const element = make('div', 'tile');
  element.append(make('div', 'label', label), make('div', 'value', value), make('div', 'detail', detail));
  return element;
}

function tiles(data: UsageData): HTMLElement {
  const element = make('div', 'tiles');
  const { total, today, currency } = data;
  const cached = total.tokens ? Math.round((100 * total.cachedTokens) / total.tokens) : 0;
  element.append(
    tile('Today', cost(today.cost ?? 0, currency), calls(today)),
    tile(`${data.days} days`, cost(total.cost ?? 0, currency), calls(total)),
    tile('Saved by caches', money(total.savings ?? 0, currency), `${cached}% of tokens from caches`),
  );
  return element;
}

/** Bars of days: what was paid, and above it what caches saved. */
function chart(section: Section, data: UsageData): SVGElement {
  const { width, height, left, bottom, top } = CHART;
  const bars = section.bars;
  const whole = (bar: Bar) => (bar.cost ?? 0) + Math.max(0, bar.savings ?? 0);
  const peak = Math.max(...bars.map(whole), 0);
  const summary = `Cost by day for ${data.days} days. ${sentence({ ...data.total, label: 'Total' }, data.currency)}. The table below has every day.`;
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': summary, class: 'chart' });
  const floor = height - bottom;
  const room = floor - top;
  const slot = (width - 2 * left) / bars.length;
  const bar_width = Math.max(1, Math.min(28, slot * 0.7));
  svg.append(draw('line', { x1: 0, x2: width, y1: floor + 0.5, y2: floor + 0.5, class: 'axis' }));
  if (peak > 0) {
    svg.append(draw('line', { x1: 0, x2: width, y1: top, y2: top, class: 'grid' }), draw('text', { x: 0, y: top - 4, class: 'tick' }, money(peak, data.currency)));
  }
  const every = Math.ceil(bars.length / 7);
  bars.forEach((bar, at) => {
    const x = left + at * slot + (slot - bar_width) / 2;
    const group = draw('g', { class: 'day' });
    group.append(draw('title', {}, sentence(bar, data.currency)), draw('rect', { x: left + at * slot, y: top, width: slot, height: room, class: 'hit' }));
    const paid = peak > 0 ? ((bar.cost ?? 0) / peak) * room : 0;
    const saved = peak > 0 ? (Math.max(0, bar.savings ?? 0) / peak) * room : 0;
    if (paid > 0) group.append(draw('rect', { x, y: floor - paid, width: bar_width, height: paid, class: 'paid' }));
    if (saved > 0) group.append(draw('rect', { x, y: floor - paid - saved, width: bar_width, height: saved, class: 'saved' }));
    svg.append(group);
    if ((bars.length - 1 - at) % every === 0) {
      const middle = Math.min(x + bar_width / 2, width - DATE_WIDTH / 2);
      svg.append(draw('text', { x: middle, y: height - 3, class: 'tick', 'text-anchor': 'middle' }, bar.label.slice(5)));
    }
  });
  return svg;
}

function legend(): HTMLElement {
  const element = make('div', 'legend');
  for (const [name, label] of [['paid', 'paid'], ['saved', 'saved by caches']] as const) {
    const key = draw('svg', { viewBox: '0 0 10 10', class: 'key', 'aria-hidden': 'true' });
    key.append(draw('rect', { width: 10, height: 10, class: name }));
    const item = make('span', 'item');
    item.append(key, label);
    element.append(item);
  }
  return element;
}

/** A row's own bar: its share of the dearest row. */
function share(bar: Bar, peak: number): SVGElement {
  const svg = draw('svg', { viewBox: '0 0 100 4', preserveAspectRatio: 'none', class: 'share', 'aria-hidden': 'true' });
  const paid = peak > 0 ? (100 * (bar.cost ?? 0)) / peak : 0;
  const saved = peak > 0 ? (100 * Math.max(0, bar.savings ?? 0)) / peak : 0;
  svg.append(draw('rect', { x: 0, y: 0, width: 100, height: 4, class: 'track' }));
  svg.append(draw('rect', { x: 0, y: 0, width: paid, height: 4, class: 'paid' }), draw('rect', { x: paid, y: 0, width: saved, height: 4, class: 'saved' }));
  return svg;
}

function table(section: Section, data: UsageData, bars: Bar[]): HTMLElement {
  const element = make('table', `rows ${section.by}`);
  element.append(make('caption', 'hidden', `Usage by ${section.by}`));
  const head = element.createTHead().insertRow();
  for (const name of [section.by, 'calls', 'tokens', 'saved', 'cost']) {
    const cell = make('th', name === section.by ? 'name' : 'number', name);
    cell.scope = 'col';
    head.append(cell);
  }
  const peak = Math.max(...bars.map((bar) => (bar.cost ?? 0) + Math.max(0, bar.savings ?? 0)), 0);
  const body = element.createTBody();
  for (const bar of bars) {
    const row = body.insertRow();
    row.title = sentence(bar, data.currency);
    const name = make('th', 'name');
    name.scope = 'row';
    name.append(make('span', 'text', bar.label));
    if (section.by !== 'day') name.append(share(bar, peak));
    row.append(name);
    const values = [String(bar.calls), compact.format(bar.tokens), bar.savings ? money(bar.savings, data.currency) : '–', bar.cost === null ? '–' : money(bar.cost, data.currency)];
    for (const value of values) row.append(make('td', 'number', value));
  }
  return element;
}

// ---- the page

const bar = make('div', 'bar');
const ranges = make('div', 'ranges');
ranges.setAttribute('role', 'group');
ranges.setAttribute('aria-label', 'Range');
const buttons = RANGES.map((days) => {
  const element = make('button', 'range', `${days} days`);
  element.addEventListener('click', () => vscode.postMessage({ type: 'days', days }));
  ranges.append(element);
  return element;
});
bar.append(ranges);
const problem = make('p', 'problem');
problem.setAttribute('role', 'status');
problem.hidden = true;
const content = make('main', 'content');
document.body.append(bar, problem, content);

let openDays = false;
function show(data: UsageData): void {
  buttons.forEach((element, at) => element.setAttribute('aria-pressed', String(RANGES[at] === data.days)));
  const parts: HTMLElement[] = [tiles(data)];
  if (!data.total.calls) parts.push(make('p', 'empty', 'No call in these days. Every call of every client of the daemon is counted here.'));
  for (const section of data.sections) {
    if (!data.total.calls) break;
    const element = make('section', 'section');
    element.append(make('h2', 'heading', `By ${section.by}`));
    if (section.by === 'day') {
      const days = make('details', 'days');
      days.open = openDays;
      days.addEventListener('toggle', () => (openDays = days.open));
      days.append(make('summary', 'summary', 'Every day as a table'), table(section, data, section.bars.filter((one) => one.calls).reverse()));
      const figure = make('figure', 'figure');
      figure.append(chart(section, data), legend());
      element.append(figure, days);
    } else {
      element.append(table(section, data, section.bars));
    }
    parts.push(element);
  }
  for (const note of data.notes) parts.push(make('p', 'note', note));
  content.replaceChildren(...parts);
}

window.addEventListener('message', (received: MessageEvent<ToUsage>) => {
  const message = received.data;
  problem.hidden = message.type !== 'problem';
  if (message.type === 'problem') problem.textContent = message.text;
  else show(message.data);
});
vscode.postMessage({ type: 'ready' });
