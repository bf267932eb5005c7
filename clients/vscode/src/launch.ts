// Finds the modeld program and starts `modeld --stdio`, which joins us to the one shared daemon of this user.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const KEPT_WORDS = 4096;

export interface Surroundings {
  env: NodeJS.ProcessEnv;
  home: string;
  platform: NodeJS.Platform;
  runnable(file: string): boolean;
}

export const here: Surroundings = { env: process.env, home: os.homedir(), platform: process.platform, runnable };

/**
 * The absolute path of the program, undefined where there is none. `configured` is a path or a name; without it the PATH is
 * searched, then the places where installers put programs: an editor that was started from a desktop often has a short PATH.
 */
export function findProgram(configured: string, at: Surroundings = here): string | undefined {
  const name = expandHome(configured || 'modeld', at);
  if (path.isAbsolute(name)) return at.runnable(name) ? name : undefined;
  if (name.includes('/') || name.includes('\\')) return undefined; // relative to what? not to a workspace
  const folders = [...searchPath(at), ...(configured ? [] : usualFolders(at))];
  const endings = at.platform === 'win32' ? ['.exe', '.cmd'] : [''];
  for (const folder of folders) {
    for (const ending of endings) {
      const file = path.join(folder, name + ending);
      if (at.runnable(file)) return file;
    }
  }
  return undefined;
}

/** Only absolute entries: a relative one would be looked up in whatever folder is open. */
function searchPath(at: Surroundings): string[] {
  const value = at.env['PATH'] ?? at.env['Path'] ?? '';
  return value.split(at.platform === 'win32' ? ';' : ':').filter((folder) => path.isAbsolute(folder));
}

function usualFolders(at: Surroundings): string[] {
  if (at.platform === 'win32') {
    return [path.join(at.home, '.local', 'bin'), path.join(at.env['APPDATA'] ?? at.home, 'Python', 'Scripts')];
  }
  const folders = [path.join(at.home, '.local', 'bin'), path.join(at.home, 'bin')];
  return [...folders, '/usr/local/bin', '/opt/homebrew/bin', '/usr/bin'];
}

function expandHome(name: string, at: Surroundings): string {
  return name === '~' || name.startsWith('~/') ? path.join(at.home, name.slice(1)) : name;
}

function runnable(file: string): boolean {
  try {
    fs.accessSync(file, process.platform === 'win32' ? fs.constants.F_OK : fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** One running `modeld --stdio`. */
export interface Running {
  process: ChildProcessWithoutNullStreams;
  /** Resolves once it has ended, or could not be started, with words about how. */
  ended: Promise<string>;
  /** The end of what it wrote to stderr. */
  lastWords(): string;
  kill(): void;
}

/** Starts the program in the user's home, never in a workspace, and hears what it says. */
export function launch(program: string, args: string[], heard: (line: string) => void): Running {
  const process = spawn(program, args, { cwd: os.homedir(), stdio: 'pipe', windowsHide: true });
  let said = '';
  process.stderr.setEncoding('utf8');
  process.stderr.on('data', (text: string) => {
    said = (said + text).slice(-KEPT_WORDS);
    for (const line of text.split('\n')) if (line.trim()) heard(line.trimEnd());
  });
  process.stdin.on('error', () => undefined); // it has ended; `ended` says so
  const ended = new Promise<string>((resolve) => {
    process.once('error', (error) => resolve(`it could not be started (${error.message})`));
    process.once('close', (code, signal) => resolve(signal ? `it was ended by ${signal}` : `it ended with exit code ${code}`));
  });
  const lastWords = () => lastLines(said);
  return { process, ended, lastWords, kill: () => void process.kill('SIGKILL') };
}

/** What a person should read of what was said: our own sentences first, else the last line. */
export function lastLines(said: string): string {
  const lines = said
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const own = lines.filter((line) => line.startsWith('modeld: ')).map((line) => line.slice('modeld: '.length));
  return own.at(-1) ?? lines.at(-1) ?? '';
}
