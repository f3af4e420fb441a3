// One switch between languages; every sentence stands in strings.<language>.json, numbers and times come from Intl.

export const LANGUAGES = ["en", "ja"];
const STORED = "simpletuner-language";
let strings = {};
let language = "en";
let formats = {};

export const currentLanguage = () => language;

/** The language that was chosen before, else the first of the browser's that is known here. */
export function preferredLanguage() {
  const stored = remembered(STORED);
  const wanted = [stored, ...navigator.languages].map((name) => String(name).slice(0, 2));
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

export async function useLanguage(name) {
  const answer = await fetch(new URL(`./strings.${name}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`strings.${name}.json: HTTP ${answer.status}`);
  strings = await answer.json();
  language = name;
  document.documentElement.lang = name;
  const locale = name === "ja" ? "ja-JP" : "en-US";
  formats = {
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
    ago: new Intl.RelativeTimeFormat(locale, { numeric: "always", style: name === "ja" ? "long" : "short" }),
  };
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
}

/** The sentence of a key with its {values}; the key itself where there is none, so that a gap is seen. */
export function t(key, values = {}) {
  const sentence = strings[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Why a request failed, in a sentence for people. */
export function reasonOf(error) {
  if (error.status === 0) return t(`error.${error.message}`);
  return error.status === 401 ? t("error.signedOut") : error.message;
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // A browser that keeps nothing asks again at the next visit.
  }
}

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export const rememberLanguage = (name) => remember(STORED, name);

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function number(value, digits) {
  if (!isNumber(value)) return "–";
  return digits === undefined
    ? formats.number.format(value)
    : value.toLocaleString(formats.number.resolvedOptions().locale, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      });
}

/** A figure with as many digits as tell something: 0.0132, 1.84, 312. */
export function figure(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(2);
  return number(value, size < 1 ? 4 : size < 100 ? 2 : 0);
}

/** US dollars; fractions of a cent are told as less than one. */
export function money(value) {
  if (!isNumber(value)) return "–";
  if (value > 0 && value < 0.01) return `< ${formats.money.format(0.01)}`;
  return formats.money.format(value);
}

export const percent = (value) => (isNumber(value) ? `${number(value, 1)}%` : "–");

export function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [
    Math.floor(whole / 86400),
    Math.floor((whole % 86400) / 3600),
    Math.floor((whole % 3600) / 60),
  ];
  if (days) return t("durationDays", { d: days, h: hours });
  if (hours) return t("durationHours", { h: hours, m: String(minutes).padStart(2, "0") });
  if (minutes) return t("durationMinutes", { m: minutes, s: String(whole % 60).padStart(2, "0") });
  return t("durationSeconds", { s: whole });
}

const UNITS = [
  ["year", 31536000],
  ["month", 2592000],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

export function ago(iso, now = Date.now()) {
  const then = Date.parse(iso);
  if (Number.isNaN(then)) return "–";
  const seconds = (then - now) / 1000;
  if (Math.abs(seconds) < 60) return t("justNow");
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  return formats.ago.format(Math.trunc(seconds / size), unit);
}

const formatted = (format, iso) => (Number.isNaN(Date.parse(iso)) ? "–" : format.format(new Date(iso)));
export const exact = (iso) => formatted(formats.exact, iso);
export const clock = (iso) => formatted(formats.clock, iso);
export const day = (date) => formatted(formats.day, `${date}T00:00:00Z`);
