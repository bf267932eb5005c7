// The models where others use them: another extension, and VS Code's own chat with the participant and in agent mode.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { askChat, closeEditors, command } from './drive.mjs';
import { LEAK, readGuard, until } from './machine.mjs';
import * as at from './selectors.mjs';

export async function checkConsumer({ place, checks, page }) {
  const report = async (title, name) => {
    const file = path.join(place.out, `consumer-${name}.json`);
    fs.rmSync(file, { force: true });
    await command(page, title);
    return until(() => JSON.parse(fs.readFileSync(file, 'utf8')), `the consumer's report ${name}`);
  };

  await checks.check(page, 'another extension streams from a model', async () => {
    await closeEditors(page);
    const { error, models, parts, text, first_ms, last_ms } = await report('Consumer: Ask', 'ask');
    assert.equal(error, undefined);
    assert.ok(models >= 9, `${models} models`);
    assert.match(text, /This answer comes from the simulator/);
    assert.ok(parts >= 5 && last_ms - first_ms > 1_000, `${parts} parts within ${last_ms - first_ms} ms: not streamed`);
    assert.equal(await page.locator(at.dialog).count(), 0);
  }, { picture: false });

  await checks.check(page, 'another extension cancels in the middle', async () => {
    const { cancelled, parts } = await report('Consumer: Ask and Cancel', 'cancel');
    assert.ok(cancelled && parts >= 3 && parts <= 6, `${parts} parts came`);
  }, { picture: false });

  await checks.check(page, 'a failing model is a typed error for another extension', async () => {
    const { error } = await report('Consumer: Ask a Failing Model', 'failing');
    assert.ok(error?.language_model, `no LanguageModelError: ${JSON.stringify(error)}`);
    assert.equal(error.code, 'NoPermissions');
    assert.match(error.message, /key/i);
  }, { picture: false });
}

export async function checkChat({ place, checks, page, browser }) {
  await checks.check(page, 'the chat participant answers', async () => {
    await command(page, 'Chat: Open Chat');
    await page.locator(at.chatInput).first().waitFor();
    await askChat(page, '@modeld tell me a short thing ', /A short thing from the simulated provider/);
  });

  await checks.check(page, 'agent mode calls a tool by our model', async () => {
    const calls = path.join(place.out, 'tool-calls.jsonl');
    assert.ok(!fs.existsSync(calls), 'no tool was called before');
    await command(page, 'Chat: New Chat');
    await askChat(page, 'weather in the north', /The tool has told me about Oslo/);
    assert.deepEqual(JSON.parse(fs.readFileSync(calls, 'utf8').trim()), { city: 'Oslo' });
    assert.equal(await page.locator(at.dialog).count(), 0, 'no sign-in is asked for');
  });

  await checks.check(page, 'the chat reaches nobody but by its own doing', async () => {
    const hosts = [...readGuard(place).outside.map((one) => one.target), ...[...browser.outside].map((origin) => new URL(origin).hostname)];
    const others = hosts.filter((host) => !at.hostsOfTheChat.test(host) && host !== LEAK);
    assert.deepEqual(others, []);
  }, { picture: false });
}
