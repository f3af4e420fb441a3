// One switch between languages; every sentence stands in strings.<language>.json, numbers and times come from Intl.

/** @import { SentenceKey } from "./types.d.ts" */

import { ApiError } from "./api.js";

export const LANGUAGES = /** @type {const} */ (["en", "ja"]);
/** @typedef {(typeof LANGUAGES)[number]} Language */

const STORED = "simpletuner-language";
/** @type {Record<string, string>} */
let strings = {};
/** @type {Language} */
let language = "en";
/** @type {ReturnType<typeof formatsOf>} */
let formats;

export const currentLanguage = () => language;

/** @returns {Language} */
export const otherLanguage = () => (language === "en" ? "ja" : "en");

/**
 * @param {string} name
 * @returns {name is Language}
 */
const isLanguage = (name) => LANGUAGES.some((known) => known === name);

/**
 * The language that was chosen before, else the first of the browser's that is known here.
 *
 * @returns {Language}
 */
export function preferredLanguage() {
  const wanted = [remembered(STORED), ...navigator.languages].map((name) => String(name).slice(0, 2));
  return wanted.find(isLanguage) ?? "en";
}

/** @param {Language} name */
function formatsOf(name) {
  const locale = name === "ja" ? "ja-JP" : "en-US";
  return {
    number: new Intl.NumberFormat(locale),
    money: new Intl.NumberFormat(locale, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol" }),
    exact: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" }),
    clock: new Intl.DateTimeFormat(locale, {
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    }),
    day: new Intl.DateTimeFormat(locale, { month: "short", day: "numeric", timeZone: "UTC" }),
    list: new Intl.ListFormat(locale, { type: "conjunction" }),
    ago: new Intl.RelativeTimeFormat(locale, { numeric: "always", style: name === "ja" ? "long" : "short" }),
  };
}

/** @param {Language} name */
export async function useLanguage(name) {
  const answer = await fetch(new URL(`./strings.${name}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`strings.${name}.json: HTTP ${answer.status}`);
  strings = await answer.json();
  language = name;
  document.documentElement.lang = name;
  formats = formatsOf(name);
  for (const node of document.querySelectorAll("[data-t]")) {
    if (node instanceof HTMLElement) node.textContent = filled(node.dataset.t ?? "", {});
  }
}

/**
 * @param {string} key
 * @param {Record<string, unknown>} values
 */
function filled(key, values) {
  const sentence = strings[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * The sentence of a key with its {values}; the key itself where there is none, so that a gap is seen.
 *
 * @param {SentenceKey} key
 * @param {Record<string, unknown>} [values]
 */
export function t(key, values = {}) {
  return filled(key, values);
}

/**
 * Why a request failed, in a sentence for people.
 *
 * @param {unknown} error
 */
export function reasonOf(error) {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return t(error.message === "timeout" ? "error.timeout" : "error.unreachable");
  return error.status === 401 ? t("error.signedOut") : error.message;
}

/**
 * @param {string} name
 * @param {string} value
 */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // A browser that keeps nothing asks again at the next visit.
  }
}

/** @param {string} name */
export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {Language} name */
export const rememberLanguage = (name) => remember(STORED, name);

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * @param {unknown} value
 * @param {number} [digits] exactly so many after the point; by default as many as it has, at most three
 */
export function number(value, digits) {
  if (!isNumber(value)) return "–";
  return digits === undefined
    ? formats.number.format(value)
    : value.toLocaleString(formats.number.resolvedOptions().locale, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      });
}

/**
 * A figure with as many digits as tell something: 0.0132, 1.84, 312.
 *
 * @param {unknown} value
 */
export function figure(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(2);
  return number(value, size < 1 ? 4 : size < 100 ? 2 : 0);
}

/**
 * US dollars; fractions of a cent are told as less than one.
 *
 * @param {unknown} value
 */
export function money(value) {
  if (!isNumber(value)) return "–";
  if (value > 0 && value < 0.01) return `< ${formats.money.format(0.01)}`;
  return formats.money.format(value);
}

/** @param {unknown} value */
export const percent = (value) => (isNumber(value) ? `${number(value, 1)}%` : "–");

/** @param {unknown} seconds */
export function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor((whole % 86400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days) return t("durationDays", { d: days, h: hours });
  if (hours) return t("durationHours", { h: hours, m: String(minutes).padStart(2, "0") });
  if (minutes) return t("durationMinutes", { m: minutes, s: String(whole % 60).padStart(2, "0") });
  return t("durationSeconds", { s: whole });
}

/**
 * Names as people list them.
 *
 * @param {string[]} names
 */
export const listed = (names) => formats.list.format(names);

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31536000],
  ["month", 2592000],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

/**
 * A stretch of time in its largest whole unit: "1 hour", "90 minutes".
 *
 * @param {number} seconds
 */
export function longDuration(seconds) {
  const [unit, size] = UNITS.find((known) => seconds >= known[1] && seconds % known[1] === 0) ?? ["second", 1];
  const locale = formats.number.resolvedOptions().locale;
  return (seconds / size).toLocaleString(locale, { style: "unit", unit, unitDisplay: "long" });
}

/**
 * @param {string} iso
 * @param {number} [now] milliseconds
 */
export function ago(iso, now = Date.now()) {
  const then = Date.parse(iso);
  if (Number.isNaN(then)) return "–";
  const seconds = (then - now) / 1000;
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return formats.ago.format(Math.trunc(seconds / size), unit);
  }
  return t("justNow");
}

/**
 * @param {Intl.DateTimeFormat} format
 * @param {string} iso
 */
const formatted = (format, iso) => (Number.isNaN(Date.parse(iso)) ? "–" : format.format(new Date(iso)));

/** @param {string} iso */
export const exact = (iso) => formatted(formats.exact, iso);

/** @param {string} iso */
export const clock = (iso) => formatted(formats.clock, iso);

/** @param {string} date */
export const day = (date) => formatted(formats.day, `${date}T00:00:00Z`);
