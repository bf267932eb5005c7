// Failures as the editor's own errors, with words that say what to do.
import * as vscode from 'vscode';
import { RequestFailed, words, type ErrorClass } from '../failure';

type Make = (message: string) => Error;

const BY_CLASS: Partial<Record<ErrorClass, Make>> = {
  model_not_found: (message) => vscode.LanguageModelError.NotFound(message),
  content_filter: (message) => vscode.LanguageModelError.Blocked(message),
  quota_exceeded: (message) => vscode.LanguageModelError.Blocked(message),
  auth: (message) => vscode.LanguageModelError.NoPermissions(message),
  not_configured: (message) => vscode.LanguageModelError.NoPermissions(message),
};

/** What a provider should throw: a `LanguageModelError` where there is a kind for it, else an error with plain words. */
export function modelError(error: unknown, token?: vscode.CancellationToken): Error {
  if (error instanceof vscode.CancellationError || error instanceof vscode.LanguageModelError) return error;
  if (!(error instanceof RequestFailed)) return new Error(words(error));
  if (error.cancelled && (token === undefined || token.isCancellationRequested)) return new vscode.CancellationError();
  const make = error.errorClass && BY_CLASS[error.errorClass];
  return make ? make(error.message) : new Error(withPause(error));
}

function withPause(error: RequestFailed): string {
  const seconds = error.data?.retry_after_seconds;
  if (error.errorClass !== 'rate_limit' || !seconds || /\d\s*s(ec|\b)/.test(error.message)) return error.message;
  return `${error.message} (again in ${Math.ceil(seconds)} s)`;
}
