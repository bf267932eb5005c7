// The daemon's death, and what left the machine: nothing, by a guard that is shown to see what would.
import assert from 'node:assert/strict';
import { Client } from './client.mjs';
import { closeEditors, command, notifications, showView, webview } from './drive.mjs';
import { connected } from './main-window.mjs';
import { LEAK, modeld, readGuard, until } from './machine.mjs';
import * as at from './selectors.mjs';

export async function checkDeath({ place, checks, page }) {
  const status = () => JSON.parse(modeld(place, 'status', '--json'));

  await checks.check(page, 'the daemon is killed in mid-stream and comes back', async () => {
    await closeEditors(page);
    const other = await Client.connect(place, 'terminal');
    const { session } = await other.request('session/create', { metadata: { title: 'Interrupted' }, model: 'sim:slow' });
    await showView(page);
    await page.locator(at.treeRow, { hasText: 'Interrupted' }).first().click();
    const view = await webview(page, 'body.stream .log');
    const turn = other.request('turn/start', { session_id: session.session_id, input: 'Begin' }).catch((error) => error);
    await view.locator('.message.live .body', { hasText: /\w/ }).waitFor();
    const before = status();
    process.kill(before.pid, 'SIGKILL');
    assert.ok((await turn) instanceof Error);
    await connected(page);
    await view.locator('.status', { hasText: /interrupted/ }).waitFor();
    const after = await until(() => { const now = status(); return now.pid !== before.pid && now; }, 'another daemon');
    assert.notEqual(after.epoch, before.epoch);
    await view.locator('textarea').fill('Go on after that');
    await view.locator('button.send').click();
    await view.locator('.message.user', { hasText: 'Go on after that' }).waitFor();
    await view.locator('.status', { hasText: 'Answer complete' }).waitFor({ timeout: 20_000 });
    assert.deepEqual(await notifications(page), [], 'nobody had to do anything');
    other.close();
  });
}

/** Before the built-in chat is used: it has errands of its own. */
export async function checkNothingLeft({ place, checks, page, browser }) {
  await checks.check(page, 'nothing left the machine', async () => {
    const { watched, outside } = readGuard(place);
    assert.ok(watched.some((one) => one.watching.includes('--type=extensionHost')), 'the extension host was watched');
    assert.deepEqual(outside, []);
    assert.deepEqual([...browser.outside], []);
  }, { picture: false });

  await checks.check(page, 'the guard sees what would leave', async () => {
    await command(page, 'Consumer: Reach Outside');
    await until(() => readGuard(place).outside.some((one) => one.target === LEAK), 'the guard to note the extension host\'s attempt');
    const other = await browser.context.newPage();
    await assert.rejects(other.goto(`http://${LEAK}/`));
    await other.close();
    assert.deepEqual([...browser.outside], [`http://${LEAK}`]);
  }, { picture: false });
}
