// Bundles the extension to dist/, and with --tests its suites for the extension host to dist/test/.
import { build, context } from 'esbuild';
import { existsSync, readdirSync, rmSync } from 'node:fs';

const production = process.argv.includes('--production');
const shared = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: ['vscode', 'mocha'],
  minify: production,
  sourcemap: production ? false : 'linked',
  legalComments: 'none',
  logLevel: 'warning',
};
const extension = { ...shared, entryPoints: ['src/extension.ts'], outfile: 'dist/extension.js' };

if (process.argv.includes('--watch')) {
  await (await context(extension)).watch();
} else {
  rmSync('dist', { recursive: true, force: true });
  await build(extension);
  if (process.argv.includes('--tests') && existsSync('test/suite')) {
    const suites = readdirSync('test/suite').filter((name) => name.endsWith('.ts'));
    await build({ ...shared, minify: false, entryPoints: suites.map((name) => `test/suite/${name}`), outdir: 'dist/test' });
  }
}
