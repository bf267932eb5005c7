// Bundles the extension to dist/, and with --tests its suites for the extension host to dist/test/.
import { build, context } from 'esbuild';
import { copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';

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
const named = (folder) => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`) : []);
const pages = { ...shared, platform: 'browser', format: 'iife', target: 'es2022', entryPoints: named('src/webview'), outdir: 'dist/webview' };
const extension = {
  ...shared,
  entryPoints: ['src/extension.ts'],
  outfile: 'dist/extension.js',
  banner: { js: '"use strict";const loadingSince = performance.now();' }, // loading counts as activation too
};

if (process.argv.includes('--watch')) {
  await Promise.all([extension, pages].map(async (options) => (await context(options)).watch()));
} else {
  rmSync('dist', { recursive: true, force: true });
  await Promise.all([build(extension), build(pages)]);
  copyFileSync('../../schemas/models.yaml.json', 'dist/models.schema.json'); // for extensions that check YAML by schemas
  if (process.argv.includes('--tests')) await build({ ...shared, minify: false, entryPoints: named('test/suite'), outdir: 'dist/test' });
}
