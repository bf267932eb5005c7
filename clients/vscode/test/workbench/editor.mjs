// models.yaml in the editor: what the daemon's language server finds, tells and offers, as VS Code draws it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { openFile } from './drive.mjs';
import { until } from './machine.mjs';
import * as at from './selectors.mjs';

const WRONG = `adapters:
  local: {type: openai-compatble, base_url: 'http://127.0.0.1:8080/v1'}
models:
  local:small: {adapter: local, wire_name: small, tier: fast}
  local:large: {adapter: lokal, wire_name: large}
default_model: local:small
`;

export async function checkEditor({ place, checks, page }) {
  fs.writeFileSync(path.join(place.workspace, 'models.yaml'), WRONG);
  const line = (text) => page.locator(at.editorLine, { hasText: text }).first();

  await checks.check(page, 'diagnostics of models.yaml are drawn', async () => {
    await openFile(page, 'models.yaml');
    await page.locator(at.squiggle.error).first().waitFor();
    assert.equal(await page.locator(at.squiggle.error).count(), 2, 'the type and the adapter that are misspelled, nothing else');
  });

  await checks.check(page, 'hover tells about a field', async () => {
    await line('wire_name: small').locator('span', { hasText: /^\s*wire_name/ }).last().hover();
    const hover = page.locator(at.hover, { hasText: /provider|model/i }).first();
    await hover.waitFor();
    assert.match(await hover.innerText(), /wire_name|name/i);
  });

  await checks.check(page, 'completion offers types', async () => {
    await page.keyboard.press('Escape');
    await line('openai-compatble').click();
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await page.keyboard.type('more: {type: ', { delay: 10 });
    await page.keyboard.press('Control+Space');
    await page.locator(at.suggestRow, { hasText: 'ollama' }).first().waitFor();
    assert.equal(await page.locator(at.suggestRow, { hasText: 'base_url' }).count(), 0, 'a field is no type');
    await page.keyboard.type('olla', { delay: 10 });
    await until(async () => (await page.locator(at.suggestRow).count()) <= 3, 'the offers to narrow');
  });

  await checks.check(page, 'a mistake is mended by its quick fix', async () => {
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    await until(async () => (await page.locator(at.squiggle.error).count()) === 2, 'the new line to be right');
    await line('openai-compatble').locator('span', { hasText: 'compatble' }).last().click();
    await page.keyboard.press('Control+.');
    const fix = page.locator(at.quickFix, { hasText: 'openai-compatible' }).first();
    await fix.waitFor();
    await fix.click();
    await line('openai-compatible').waitFor();
    await until(async () => (await page.locator(at.squiggle.error).count()) === 1, 'its mark to go, and the other to stay');
  });
  await page.keyboard.press('Control+s');
}
