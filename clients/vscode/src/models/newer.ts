// Parts that newer editors have and the oldest one that we run in hasn't: looked for when we run, typed here.
import * as vscode from 'vscode';

export interface DataPart {
  data: Uint8Array;
  mimeType: string;
}
export interface ThinkingPart {
  value: string | string[];
  id?: string;
  metadata?: Record<string, unknown>;
}
type Make<T, A extends unknown[]> = new (...args: A) => T;

const editor = vscode as unknown as {
  LanguageModelDataPart?: Make<DataPart, [data: Uint8Array, mimeType: string]>;
  LanguageModelThinkingPart?: Make<ThinkingPart, [value: string, id?: string, metadata?: Record<string, unknown>]>;
};

export const makeData = constructorOf(editor.LanguageModelDataPart);
export const makeThinking = constructorOf(editor.LanguageModelThinkingPart);

export function isData(part: unknown): part is DataPart {
  return editor.LanguageModelDataPart !== undefined && part instanceof editor.LanguageModelDataPart;
}

export function isThinking(part: unknown): part is ThinkingPart {
  return editor.LanguageModelThinkingPart !== undefined && part instanceof editor.LanguageModelThinkingPart;
}

/** The role of a system message, which the stable API doesn't name. */
export const SYSTEM_ROLE = 3;

/** The extension that a request is for, in lower case, `core` for the editor itself; not in the stable typings. */
export function initiatorOf(options: object): string {
  const name = (options as { requestInitiator?: unknown }).requestInitiator;
  return typeof name === 'string' && name ? name.slice(0, 128) : 'unknown';
}

/** What data parts hold that aren't media: notes between the editor's chat and its providers. */
export const Note = { cacheBreakpoint: 'cache_control', usage: 'usage' } as const;

function constructorOf<T, A extends unknown[]>(kind: Make<T, A> | undefined): ((...args: A) => T) | undefined {
  return kind && ((...args: A) => new kind(...args));
}
