// A model of the daemon's as the editor's picker shows it.
import * as vscode from 'vscode';
import type { ModelInfo, Pricing } from '../protocol';

const ASSUMED_CONTEXT = 128_000;
const ASSUMED_OUTPUT = 8_192;

export type Information = vscode.LanguageModelChatInformation;

/** What the picker and other extensions are told. Newer editors also show what the last lines hold. */
export function informationOf(model: ModelInfo): Information {
  const context = model.limits.max_context_tokens ?? ASSUMED_CONTEXT;
  const output = Math.min(model.limits.max_output_tokens ?? ASSUMED_OUTPUT, Math.max(1, Math.floor(context / 2)));
  const trouble = model.availability === 'unavailable' || model.availability === 'degraded';
  const price = priceOf(model.pricing);
  return {
    id: model.id,
    name: nameOf(model),
    family: model.wire_name,
    version: model.pricing?.version ?? model.wire_name,
    detail: model.provider,
    tooltip: tooltipOf(model, price),
    maxInputTokens: Math.max(1, context - output),
    maxOutputTokens: output,
    capabilities: { imageInput: model.capabilities.images ?? false, toolCalling: model.capabilities.tools ?? true },
    ...(price ? { pricing: price } : {}),
    ...(trouble ? { statusIcon: new vscode.ThemeIcon('warning'), warningText: model.reason ?? model.availability } : {}),
  };
}

/** What the user called it, without the path that routers put before a model's name. */
export function nameOf(model: ModelInfo): string {
  const name = model.id.slice(model.id.indexOf(':') + 1);
  return name.split('/').at(-1) || name;
}

/** Input and output per million tokens, empty where they are unknown. */
export function priceOf(pricing: Pricing | null | undefined): string {
  if (pricing?.input == null || pricing.output == null) return '';
  const money = (amount: number) => ((pricing.currency ?? 'USD') === 'USD' ? `$${amount}` : `${amount} ${pricing.currency}`);
  return `${money(pricing.input)} in, ${money(pricing.output)} out per million tokens`;
}

function tooltipOf(model: ModelInfo, price: string): string {
  const { capabilities } = model;
  const can = [
    capabilities.tools !== false && 'tools',
    capabilities.images && 'images',
    capabilities.audio && 'audio',
    capabilities.files && 'files',
    capabilities.thinking && 'thinking',
  ].filter(Boolean);
  const lines = [`${model.id} through modeld`, can.join(', '), price];
  if (model.aliases.length) lines.push(`also called ${model.aliases.join(', ')}`);
  if (model.availability !== 'available') lines.push(`${model.availability}${model.reason ? `: ${model.reason}` : ''}`);
  return lines.filter(Boolean).join('\n');
}
