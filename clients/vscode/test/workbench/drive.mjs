// What a user does in VS Code, as functions over a page; and the checks' own bookkeeping.
import fs from 'node:fs';
import path from 'node:path';
import { until, wait } from './machine.mjs';
import * as at from './selectors.mjs';

export async function openWorkbench(page, url, folder) {
  const target = new URL(url);
  target.searchParams.set('folder', folder);
  await page.goto(target.href);
  await page.waitForSelector(at.workbench, { timeout: 60_000 });
}

/** Runs a command by its whole title. */
export async function command(page, title) {
  await page.keyboard.press('F1');
  const input = page.locator(at.quickInput).first();
  await input.waitFor({ state: 'visible' });
  await input.fill(`>${title}`);
  const row = page.locator(at.quickRow, { hasText: title }).first();
  await row.waitFor({ state: 'visible', timeout: 10_000 });
  await row.click();
}

export async function openFile(page, name) {
  await page.keyboard.press('Control+p');
  const input = page.locator(at.quickInput).first();
  await input.waitFor({ state: 'visible' });
  await input.fill(name);
  await page.locator(at.quickRow, { hasText: path.basename(name) }).first().click();
  await page.locator(at.tab(path.basename(name))).first().waitFor();
}

/** Picks what has `text`; `filter` types it first, where the list may be longer than what is drawn. */
export async function pick(page, text, { filter = false } = {}) {
  const row = page.locator(at.quickRow, { hasText: text }).first();
  if (filter) {
    await page.locator(at.quickRow).first().waitFor({ state: 'visible' });
    await page.locator(at.quickInput).first().fill(text);
  }
  await row.waitFor({ state: 'visible' });
  await row.click();
}

export async function closeEditors(page) {
  await command(page, 'View: Close All Editors');
}

/** The inside of the webview whose page has `marker`; there may be several webviews. */
export async function webview(page, marker) {
  return until(async () => {
    for (const outer of await page.locator(at.webview).all()) {
      const inner = outer.contentFrame().frameLocator(at.webviewInner);
      if (await inner.locator(marker).count()) return inner;
    }
    return undefined;
  }, `a webview with ${marker}`);
}

export async function showView(page, title = 'modeld') {
  const icon = page.locator(at.activity(title)).first();
  await icon.waitFor();
  if ((await icon.getAttribute('aria-expanded')) !== 'true' && (await page.locator(at.treeRow).count()) === 0) await icon.click();
}

/**
 * The answer in the built-in chat that reads as wanted. While the chat sets itself up for the first time it may answer
 * "Please try again." without having asked any model: then it is asked again, as a person would do.
 */
export async function askChat(page, text, wanted, timeout_ms = 25_000) {
  const input = page.locator(at.chatInput).first();
  for (let refused = 0; ; refused += 1) {
    await input.click();
    await page.keyboard.press('Control+a');
    await page.keyboard.press('Delete');
    await page.keyboard.type(text, { delay: 15 });
    await wait(400); // the suggestions for @ and / settle; Enter would choose one of them
    await page.keyboard.press('Enter');
    const answer = await until(async () => {
      const answers = await page.locator(at.chatResponse).allInnerTexts();
      const right = answers.find((one) => wanted.test(one));
      return right ?? (answers.filter((one) => /Please try again\.\s*$/.test(one)).length > refused && 'refused');
    }, `a chat answer like ${wanted}`, timeout_ms);
    if (answer !== 'refused') return answer;
    if (refused >= 2) throw new Error('the chat asked to try again three times');
  }
}

export const notifications = (page) => page.locator(at.notification).allInnerTexts();

/** Runs checks one after the other, with a picture of each; a failed one doesn't stop the rest. */
export class Checks {
  results = [];

  constructor(pictures, only) {
    this.pictures = pictures;
    this.only = only ? new RegExp(only, 'i') : undefined;
    fs.mkdirSync(pictures, { recursive: true });
  }

  /** A check without something to see keeps a picture of its failure alone. */
  async check(page, name, run, { picture = true } = {}) {
    if (this.only && !this.only.test(name)) return;
    const started = Date.now();
    let error;
    try {
      await run();
    } catch (failure) {
      error = String(failure?.message ?? failure).split('\n').slice(0, 6).join(' | ');
    }
    if (picture || error) await this.picture(page, name.replace(/\W+/g, '-'));
    this.results.push({ name, ok: !error, ms: Date.now() - started, error });
    console.log(`${error ? 'FAIL' : 'ok  '} ${String(Date.now() - started).padStart(6)} ms  ${name}${error ? `\n       ${error}` : ''}`);
  }

  async picture(page, name) {
    try {
      await page.screenshot({ path: path.join(this.pictures, `${name}.png`), animations: 'disabled', caret: 'initial' });
    } catch (error) {
      console.log(`       no picture: ${error.message.split('\n')[0]}`);
    }
  }

  get failed() {
    return this.results.filter((result) => !result.ok);
  }
}
