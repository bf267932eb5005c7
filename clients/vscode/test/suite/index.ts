// Runs every suite inside the extension host. MOCHA_GREP picks some; MOCHA_RESULT names a file for the result.
import Mocha from 'mocha';
import * as fs from 'node:fs';
import * as path from 'node:path';

export async function run(): Promise<void> {
  const mocha = new Mocha({ ui: 'bdd', timeout: 20_000, color: false, forbidOnly: true });
  const pattern = process.env['MOCHA_GREP'];
  if (pattern) mocha.grep(pattern);
  for (const name of fs.readdirSync(__dirname).sort()) {
    if (name.endsWith('.test.js')) mocha.addFile(path.join(__dirname, name));
  }
  const lines: string[] = [];
  const failures = await new Promise<number>((resolve) => {
    const runner = mocha.run(resolve);
    runner.on('pass', (test) => lines.push(`  ✔ ${test.fullTitle()} (${test.duration} ms)`));
    runner.on('pending', (test) => lines.push(`  - ${test.fullTitle()}`));
    runner.on('fail', (test, error: Error) => lines.push(`  ✗ ${test.fullTitle()}\n${error.stack ?? error.message}`));
  });
  const passed = lines.filter((line) => line.startsWith('  ✔')).length;
  lines.push(`${passed} passing, ${failures} failing`);
  const file = process.env['MOCHA_RESULT'];
  if (file) fs.writeFileSync(file, `${lines.join('\n')}\n`);
  if (failures > 0 || passed === 0) throw new Error(`${failures} tests failed, ${passed} passed`);
}
