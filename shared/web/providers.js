// What the service tells of its providers, which is all that the page knows of them.

/** @import { Job, Provider } from "./types.d.ts" */

import { safeAddress, setAttribute, setText } from "./dom.js";
import { t } from "./i18n.js";

/** @type {Map<string, Provider>} */
let known = new Map();

/** @param {Provider[]} providers */
export function knowProviders(providers) {
  known = new Map(providers.map((provider) => [provider.id, provider]));
}

/** @param {string} id */
export const providerOf = (id) => known.get(id);

/**
 * What people call it; of one that the service does not tell of, its own word.
 *
 * @param {string} id
 */
export const providerName = (id) => known.get(id)?.name ?? id;

/**
 * A title that says whose it is, where there are several whose it could be.
 *
 * @param {string} what
 * @param {Provider} provider
 */
export const ofProvider = (what, { name }) => (known.size > 1 ? t("ofProvider", { what, provider: name }) : what);

/**
 * What a button does, and for a reader who hears only the button, to whose.
 *
 * @param {HTMLElement} node
 * @param {string} text
 * @param {Provider} provider
 */
export function sayButton(node, text, provider) {
  setText(node, text);
  const whole = ofProvider(text, provider);
  setAttribute(node, "aria-label", whole === text ? null : whole);
}

/**
 * The job's page at its provider, null where it has none.
 *
 * @param {Job} job
 */
export function addressAtProvider({ provider, metadata }) {
  const template = known.get(provider)?.job_url;
  const id = metadata.prediction_id ?? "";
  return template && /^[A-Za-z0-9_-]+$/.test(id) ? safeAddress(template.replaceAll("{external_id}", id)) : null;
}
