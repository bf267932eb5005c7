// What suites share: the extension as the editor has activated it, and waiting for a condition.
import * as vscode from 'vscode';
import type { Api } from '../../src/extension';

export async function extension(): Promise<Api> {
  const found = vscode.extensions.getExtension<Api>('modeld.modeld');
  if (found === undefined) throw new Error('the extension is not there');
  return found.activate();
}

/** The extension with a live daemon behind it. */
export async function connected(): Promise<Api> {
  const api = await extension();
  await until(() => api.connection.state === 'ready', 'the connection');
  return api;
}

export async function until<T>(probe: () => T | Promise<T>, what: string, timeout_ms = 15_000): Promise<T> {
  const end = Date.now() + timeout_ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeout_ms / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
