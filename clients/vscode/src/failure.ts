// What goes wrong on the way to the daemon and inside it, as errors with words that say what to do.
import * as vscode from 'vscode';
import type { ErrorData } from './protocol';

export type ErrorClass = ErrorData['error_class'];

export const CANCELLED = -32800;
export const FAILED = -32803;
/** Codes of our own, outside of JSON-RPC's range: the daemon wasn't there, left, or kept silent. */
export const NOT_CONNECTED = 1;
export const LOST = 2;
export const SILENT = 3;

/** A request that wasn't answered with a result. `message` is fit to be shown. */
export class RequestFailed extends Error {
  override readonly name = 'RequestFailed';

  constructor(
    message: string,
    readonly code: number,
    readonly data?: ErrorData,
  ) {
    super(message);
  }

  get errorClass(): ErrorClass | undefined {
    return this.data?.error_class;
  }

  get cancelled(): boolean {
    return this.code === CANCELLED || this.errorClass === 'cancelled';
  }
}

/** Whether somebody wanted it to end: nothing went wrong then. */
export function wasCancelled(error: unknown): boolean {
  return error instanceof vscode.CancellationError || (error instanceof RequestFailed && error.cancelled);
}

/** Any error in words. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** With a capital and a full stop. */
export function sentence(text: string): string {
  return stopped(text.charAt(0).toUpperCase() + text.slice(1));
}

/** With a full stop. */
export function stopped(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** The `data` of an answer, where it has the shape of a failed request's. */
export function errorData(value: unknown): ErrorData | undefined {
  return typeof value === 'object' && value !== null && 'error_class' in value ? (value as ErrorData) : undefined;
}
