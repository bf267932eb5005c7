// The views: the session tree, the stream view, the usage view, with another client of the same daemon at work.
import assert from 'node:assert/strict';
import { Client } from './client.mjs';
import { closeEditors, command, pick, showView, webview } from './drive.mjs';
import { connected } from './main-window.mjs';
import { until } from './machine.mjs';
import * as at from './selectors.mjs';

const TOOLS = [{ name: 'look_up', description: 'Looks something up', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }];
const EVENTS = 5_000;

export async function checkViews(stage) {
  const { place, checks, page } = stage;
  const other = await Client.connect(place, 'terminal');
  const create = async (title, params) => (await other.request('session/create', { metadata: { title }, ...params })).session.session_id;
  const row = (title) => page.locator(at.treeRow, { hasText: title }).first();
  let slow;
  let running;

  await checks.check(page, 'another client\'s session and its running answer appear in the tree', async () => {
    await showView(page);
    const kept = await create('Plan the release', { model: 'sim:echo' });
    await other.request('turn/start', { session_id: kept, input: 'Which steps are left before the release?' });
    slow = await create('Write the changelog', { model: 'sim:slower' });
    await row('Write the changelog').waitFor();
    assert.doesNotMatch(await row('Write the changelog').innerText(), /answering/);
    running = other.request('turn/start', { session_id: slow, input: 'Write it' }).catch((error) => error);
    await row(/Write the changelog.*answering/s).waitFor({ timeout: 10_000 });
    assert.equal(await row('No session of this name').count(), 0);
  });

  await checks.check(page, 'the stream view shows the words as they come', async () => {
    await row('Write the changelog').click();
    const view = await webview(page, 'body.stream .log');
    const live = view.locator('.message.live .body');
    await live.first().waitFor();
    const lengths = [];
    await until(async () => {
      const length = (await live.first().innerText().catch(() => '')).length;
      if (length && length !== lengths.at(-1)) lengths.push(length);
      return lengths.length >= 4;
    }, 'the answer to grow four times', 10_000);
    assert.deepEqual(lengths, [...lengths].sort((a, b) => a - b));
    assert.match(await view.locator('.message.user').innerText(), /Write it/);
  });

  await checks.check(page, 'an answer is cancelled from the tree', async () => {
    if ((await other.request('session/get', { session_id: slow })).session.running_turn_id == null) {
      running = other.request('turn/start', { session_id: slow, input: 'Once more' }).catch((error) => error);
    }
    const answering = row(/Write the changelog.*answering/s);
    await answering.hover();
    await answering.locator(at.treeAction('Cancel Answer')).click();
    const ended = await running;
    assert.ok(ended.stop_reason === 'cancelled' || ended.data?.error_class === 'cancelled', `the turn ended otherwise: ${JSON.stringify(ended).slice(0, 200)}`);
    const view = await webview(page, 'body.stream .log');
    await view.locator('.status', { hasText: /cancelled/i }).waitFor();
  }, { picture: false });

  await checks.check(page, 'thinking and a tool call are shown', async () => {
    await closeEditors(page);
    const session_id = await create('Weather of Oslo', { model: 'sim:thinking-tool', tools: TOOLS });
    await row('Weather of Oslo').click();
    const view = await webview(page, 'body.stream .log');
    await view.locator('.status', { hasText: 'No turn yet' }).waitFor();
    await other.request('turn/start', { session_id, input: 'What is the weather in <b>Oslo</b>?' });
    await view.locator('.block.thinking .body', { hasText: /\w{3}/ }).waitFor();
    await view.locator('.block.tool .summary', { hasText: 'look_up' }).waitFor();
    assert.match(await view.locator('.message.user .body').innerText(), /<b>Oslo<\/b>/);
    assert.equal(await view.locator('.log b').count(), 0, 'text of a message never becomes markup');
    const pending = (await other.request('session/get', { session_id })).session.pending_tool_use_ids ?? [];
    await other.request('turn/start', { session_id, model: 'sim:echo', input: [{ role: 'tool', content: pending.map((id) => ({ type: 'tool_result', tool_use_id: id, content: 'sunny, 21 degrees' })) }] });
    await view.locator('.block.result .body', { hasText: 'sunny' }).waitFor();
    await view.locator('.message.assistant .body', { hasText: 'What is the weather in <b>Oslo</b>?' }).waitFor();
    await view.locator('.status', { hasText: 'Answer complete' }).waitFor();
    await view.locator('button.cancel:disabled').waitFor();
  });

  await checks.check(page, 'the stream view keeps up with five thousand words at full speed', async () => {
    await closeEditors(page);
    const session_id = await create('A long report', { model: 'sim:long' });
    await row('A long report').click();
    const view = await webview(page, 'body.stream .log');
    await view.locator('.status', { hasText: 'No turn yet' }).waitFor();
    const started = Date.now();
    const turn = await other.request('turn/start', { session_id, input: 'Go on' });
    const ended = Date.now();
    const { length } = turn.message.content[0].text;
    const body = view.locator('.message.assistant .body').last();
    await until(async () => (await body.evaluate((element) => element.textContent.length)) === length, `all ${length} characters`, 10_000);
    const behind = Date.now() - ended;
    const rate = Math.round((EVENTS * 1000) / (ended - started));
    console.log(`       ${rate} events/s, on the screen ${behind} ms after the end`);
    assert.ok(rate > 1_000, `only ${rate} events a second came`);
    assert.ok(behind < 2_000, `${behind} ms behind`);
    assert.equal(await body.textContent(), turn.message.content[0].text);
  }, { picture: false });

  await checks.check(page, 'a new session is named by its first message, and a failure says why', async () => {
    await closeEditors(page);
    await command(page, 'modeld: New Session');
    const view = await webview(page, 'body.stream .log');
    await view.locator('textarea').fill('Draft the announcement');
    await view.locator('button.send').click();
    await row('Draft the announcement').waitFor();
    await view.locator('.message.assistant', { hasText: 'Draft the announcement' }).waitFor();
    await command(page, 'modeld: Switch Model of Session');
    await pick(page, 'Draft the announcement');
    await page.locator(at.quickTitle, { hasText: 'Draft the announcement is on' }).waitFor();
    await pick(page, 'refusing:denied', { filter: true });
    await page.locator(at.dialog).getByRole('button', { name: 'Switch', exact: true }).click();
    await view.locator('.model', { hasText: 'refusing:denied' }).waitFor();
    await view.locator('textarea').fill('Once more');
    await view.locator('button.send').click();
    await view.locator('.status', { hasText: /key/i }).waitFor();
    await view.locator('button.send:enabled').waitFor();
    assert.equal(await view.locator('textarea').inputValue(), 'Once more', 'what was not answered can be sent again');
  });

  await checks.check(page, 'a session is forked at a message', async () => {
    await closeEditors(page);
    const target = row('Plan the release');
    await target.hover();
    await target.locator(at.treeAction('Fork Session')).click();
    await page.locator(at.quickRow, { hasText: 'after message 2, assistant' }).waitFor();
    await pick(page, 'after message 2, assistant');
    const view = await webview(page, 'body.stream .log');
    await view.locator('.message.user', { hasText: 'Which steps are left' }).waitFor();
    await until(async () => (await page.locator(at.treeRow, { hasText: 'Plan the release' }).count()) === 2, 'the fork below its parent');
  });

  await checks.check(page, 'a model switch shows its price before it is made', async () => {
    const view = await webview(page, 'body.stream .log');
    await view.locator('button.switchModel').click();
    await pick(page, 'other:echo', { filter: true });
    const dialog = page.locator(at.dialog);
    await dialog.waitFor();
    assert.match(await dialog.innerText(), /sim:echo → other:echo[^]*kept as they are[^]*tokens/);
    await checks.picture(page, 'handoff-preview');
    await dialog.getByRole('button', { name: 'Switch', exact: true }).click();
    await view.locator('.model', { hasText: 'other:echo' }).waitFor();
  });

  await checks.check(page, 'rename and delete', async () => {
    await command(page, 'modeld: Rename Session');
    await pick(page, 'Write the changelog');
    await page.locator(at.quickTitle, { hasText: 'Rename session' }).waitFor();
    await page.locator(at.quickInput).first().fill('Changelog, second try');
    await page.keyboard.press('Enter');
    await row('Changelog, second try').waitFor();
    await command(page, 'modeld: Delete Session');
    await pick(page, 'Changelog, second try');
    await page.locator(at.dialog).getByRole('button', { name: 'Delete', exact: true }).click();
    await row('Changelog, second try').waitFor({ state: 'detached' });
    await assert.rejects(other.request('session/get', { session_id: slow }), /no session has the id/);
  }, { picture: false });

  await checks.check(page, 'the usage view shows cost and savings', async () => {
    const session_id = await create('Cached', { model: 'sim:cached' });
    for (const input of ['one', 'two', 'three']) await other.request('turn/start', { session_id, input });
    await command(page, 'modeld: Refresh Usage');
    const view = await webview(page, 'body.usage .content');
    await view.locator('.chart').waitFor();
    const groups = (await other.request('usage/aggregate', { group_by: 'model' })).groups;
    const cached = groups.find((group) => group.key.endsWith('cached'));
    assert.ok(cached.cache_savings > 0, 'the simulated provider read from its cache');
    await until(async () => (await view.locator('.rows.model .name', { hasText: cached.key }).count()) > 0, 'the row of the cached model');
    const shown = await view.locator('.rows.model tbody tr', { hasText: cached.key }).locator('td').allInnerTexts();
    assert.equal(shown[0], String(cached.calls));
    const paid = Number(shown[3].replace('$', ''));
    assert.ok(Math.abs(paid - cached.total_cost) < cached.total_cost / 20, `${shown[3]} is shown for ${cached.total_cost}`);
    await view.locator('.rows.client').scrollIntoViewIfNeeded();
    await checks.picture(page, 'usage-by-model-and-client');
    assert.ok((await view.locator('.chart .paid').count()) > 0 && (await view.locator('.chart .saved').count()) > 0);
    await view.locator('.rows.client .name', { hasText: 'terminal' }).waitFor();
    await view.locator('button.range', { hasText: '30 days' }).click();
    await view.locator('.tile .label', { hasText: '30 days' }).waitFor();
    assert.equal(await view.locator('.chart .day').count(), 30);
  });
  await checks.check(page, 'a reloaded window has its stream view back', async () => {
    await row('Weather of Oslo').click();
    await webview(page, 'body.stream .block.tool');
    await Promise.all([page.waitForEvent('load'), command(page, 'Developer: Reload Window')]);
    await page.locator(at.workbench).waitFor({ timeout: 60_000 });
    const view = await webview(page, 'body.stream .block.tool');
    await view.locator('.title', { hasText: 'Weather of Oslo' }).waitFor();
    await connected(page);
  }, { picture: false });
  other.close();
}
