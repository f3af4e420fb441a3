// Starts the page and ties its parts together: list, overview, details, live changes, language and theme.

/** @import { Account } from "./service.js" */
/** @import { JobEvent, JobStatus, LinkState, Provider, ToastKind } from "./types.d.ts" */

import { ApiError, BASE, listen, listProviders, readMe, readPageProgress, signIn, signOut, syncJobs } from "./api.js";
import { Details } from "./details.js";
import { clean, dialog, el, onTop, setAttribute, setText, show } from "./dom.js";
import { field } from "./form.js";
import {
  otherLanguage,
  preferredLanguage,
  reasonOf,
  remember,
  remembered,
  rememberLanguage,
  t,
  useLanguage,
} from "./i18n.js";
import { ACTIVE, ENDED } from "./job.js";
import { JobList } from "./jobs.js";
import { Overview } from "./overview.js";
import { knowProviders, ofProvider } from "./providers.js";

const PROGRESS_EVERY_MS = 5000;
const PROGRESS_AFTER_MS = 150;
const POLL_EVERY_MS = 30_000;
const METRICS_EVERY_MS = 60_000;
const METRICS_AFTER_MS = 1500;
const TOAST_MS = 7000;
const MOST_TOASTS = 4;
const SEARCH_AFTER_MS = 250;
const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
const THEME_SIGNS = { auto: "◐", light: "☀", dark: "☾" };
const THEME_STORED = "simpletuner-theme";

/** @typedef {(typeof THEMES)[number]} Theme */

/**
 * An element that index.html has.
 *
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 */
function byId(id, kind) {
  const node = document.getElementById(id);
  if (!(node instanceof kind)) throw new Error(`The page has no ${id}.`);
  return node;
}

const list = byId("list", HTMLElement);
const search = byId("search", HTMLInputElement);
const statusFilter = byId("status-filter", HTMLSelectElement);
const providerFilter = byId("provider-filter", HTMLSelectElement);
const syncButton = byId("sync", HTMLButtonElement);
const languageButton = byId("language", HTMLButtonElement);
const themeButton = byId("theme", HTMLButtonElement);
const signOutButton = byId("sign-out", HTMLButtonElement);
const link = byId("link", HTMLElement);
const linkText = byId("link-text", HTMLElement);
const toasts = byId("toasts", HTMLElement);

/**
 * @param {string} text
 * @param {ToastKind} [kind]
 */
function toast(text, kind = "good") {
  if (toasts.parentNode !== onTop()) onTop().append(toasts);
  const close = el("button", { type: "button", class: "ghost", "aria-label": t("close"), text: "✕" });
  const role = kind === "bad" ? "alert" : null;
  const note = el("div", { class: "toast", "data-kind": kind, role }, el("span", { text }), close);
  close.addEventListener("click", () => note.remove());
  toasts.append(note);
  while (toasts.childElementCount > MOST_TOASTS) toasts.firstElementChild?.remove();
  setTimeout(() => note.remove(), kind === "bad" ? 2 * TOAST_MS : TOAST_MS);
}

/** @param {Theme} theme */
function useTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  remember(THEME_STORED, theme);
}

/** What the status filter offers, in the order of life. */
const STATUSES = [...[...ACTIVE].reverse(), ...ENDED];

function statusOptions() {
  return [
    el("option", { value: "", text: t("filter.all") }),
    el("option", { value: "active", text: t("filter.active") }),
    ...STATUSES.map((status) => el("option", { value: status, text: t(`status.${status}`) })),
  ];
}

function chosenStatus() {
  const { value } = statusFilter;
  return value === "active" ? value : (STATUSES.find((status) => status === value) ?? "");
}

/** @param {Provider[]} providers */
function providerOptions(providers) {
  return [
    el("option", { value: "", text: t("filter.providers") }),
    ...providers.map((provider) => el("option", { value: provider.id, text: provider.name })),
  ];
}

/**
 * New options; what was chosen stays so.
 *
 * @param {HTMLSelectElement} select
 * @param {HTMLOptionElement[]} options
 */
function fill(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options);
  select.value = chosen;
}

/** @param {Account} account */
const tokenButton = (account) =>
  el("button", {
    type: "button",
    class: "primary",
    text: ofProvider(account.act, account.provider),
    on: { click: () => account.edit() },
  });

class Page {
  /** @param {Theme} theme */
  constructor(theme) {
    this.theme = theme;
    /** @type {Provider[]} */
    this.providers = [];
    /** @type {LinkState} */
    this.linkState = "connecting";
    this.hasConnected = false;
    this.isUnreached = false;
    this.isAsking = false;
    this.isReadingProgress = false;
    this.lastLoad = Date.now();
    this.searching = 0;
    this.progressTimer = 0;
    this.metricsTimer = 0;
    listen({ signedOut: () => this.askForKey(), reached: (isReached) => this.noteReached(isReached) });
    this.list = new JobList(list, {
      onUnread: () => this.soonReadProgress(),
      explainEmpty: () => this.explainEmpty(),
    });
    this.overview = new Overview(byId("overview", HTMLElement), { toast, onProvider: () => this.onProvider() });
    this.details = new Details({
      toast,
      onJob: (job) => {
        const known = this.list.jobs.get(job.job_id);
        if (known) this.list.merge(known, job);
      },
      onDeleted: (id) => this.list.remove(id),
      onClosed: () => {
        if (location.hash.startsWith("#job=")) history.replaceState(null, "", location.pathname + location.search);
      },
    });
    this.bind();
    this.say();
  }

  async start() {
    await Promise.all([this.list.load(), this.overview.load(), this.loadProviders(), this.loadWho()]);
    this.list.sayEmpty();
    this.openFromAddress();
    this.startClock();
    await this.connect();
  }

  bind() {
    syncButton.addEventListener("click", () => this.sync());
    search.addEventListener("input", () => {
      clearTimeout(this.searching);
      this.searching = setTimeout(() => this.list.setFilter({ q: search.value.trim() }), SEARCH_AFTER_MS);
    });
    statusFilter.addEventListener("change", () => this.list.setFilter({ status: chosenStatus() }));
    providerFilter.addEventListener("change", () => this.list.setFilter({ provider: providerFilter.value }));
    list.addEventListener("clear-filters", () => {
      search.value = "";
      statusFilter.value = "";
      providerFilter.value = "";
      this.list.setFilter({ q: "", status: "", provider: "" });
      search.focus();
    });
    languageButton.addEventListener("click", () => this.switchLanguage());
    themeButton.addEventListener("click", () => this.switchTheme());
    signOutButton.addEventListener("click", async () => {
      await signOut().catch(() => {});
      location.reload();
    });
    addEventListener("hashchange", () => this.openFromAddress());
    addEventListener("offline", () => this.showLink(this.linkState));
    addEventListener("online", () => {
      this.showLink(this.linkState);
      this.catchUp();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.refreshProgress();
      if (Date.now() - this.lastLoad > POLL_EVERY_MS) this.catchUp();
    });
  }

  /** Everything that is not a `data-t` text: labels, options, the state of the connection. */
  say() {
    document.title = t("title");
    setAttribute(search, "aria-label", t("filter.search"));
    setAttribute(search, "placeholder", t("filter.search"));
    setAttribute(statusFilter, "aria-label", t("filter.status"));
    setAttribute(providerFilter, "aria-label", t("filter.provider"));
    fill(statusFilter, statusOptions());
    fill(providerFilter, providerOptions(this.providers));
    setText(languageButton, t(`language.${otherLanguage()}`));
    setAttribute(languageButton, "lang", otherLanguage());
    this.sayTheme();
    this.showLink(this.linkState);
  }

  async switchLanguage() {
    const other = otherLanguage();
    try {
      await useLanguage(other);
    } catch {
      toast(t("error.unreachable"), "bad");
      return;
    }
    rememberLanguage(other);
    this.say();
    this.list.renew();
    this.overview.renew();
  }

  switchTheme() {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? "auto";
    useTheme(this.theme);
    this.sayTheme();
  }

  sayTheme() {
    setText(themeButton, THEME_SIGNS[this.theme]);
    setAttribute(themeButton, "aria-label", t(`theme.${this.theme}`));
    setAttribute(themeButton, "title", t(`theme.${this.theme}`));
  }

  async loadProviders() {
    try {
      this.providers = (await listProviders()).providers;
    } catch (error) {
      this.overview.missProviders(reasonOf(error));
      return;
    }
    knowProviders(this.providers);
    fill(providerFilter, providerOptions(this.providers));
    this.list.updateRows();
    this.details.renew();
    await this.overview.takeProviders(this.providers);
  }

  async loadWho() {
    try {
      show(signOutButton, (await readMe()).can_sign_out);
    } catch {
      // Signed out: the form for the key is on its way.
    }
  }

  /** What of the providers could not be read, or was not well when it was read. */
  async loadMissing() {
    await (this.providers.length ? this.overview.service.loadMissing() : this.loadProviders());
  }

  async onProvider() {
    await Promise.all([this.list.load(), this.loadProviders()]);
    this.list.sayEmpty();
  }

  explainEmpty() {
    const { service } = this.overview;
    const sync = el("button", { type: "button", text: t("sync"), on: { click: () => this.sync() } });
    const missing = service.accounts.filter((account) => account.isConnected === false);
    const unread = missing.filter((account) => account.hasToken);
    if (unread.length) {
      return [
        ...unread.flatMap(({ provider, state }) => [
          el("p", { class: "strong", text: t("empty.unread", { provider: provider.name }) }),
          el("p", { text: state }),
        ]),
        el("div", { class: "buttons" }, sync, ...unread.map(tokenButton)),
      ];
    }
    if (missing.length && missing.length === service.accounts.length) {
      return [
        ...missing.map(({ provider }) =>
          el("p", { class: "strong", text: t("empty.noProvider", { provider: provider.name }) }),
        ),
        el("p", { text: t("empty.addToken") }),
        el("div", { class: "buttons" }, ...missing.map(tokenButton)),
      ];
    }
    return [
      el("p", { class: "strong", text: t("empty.none") }),
      el("p", { text: t("empty.howTo") }),
      el("p", {}, el("code", { text: "simpletuner cloud jobs submit <config>" })),
      sync,
    ];
  }

  async sync() {
    if (syncButton.getAttribute("aria-disabled") === "true") return;
    syncButton.setAttribute("aria-disabled", "true");
    syncButton.setAttribute("aria-busy", "true");
    try {
      const found = await syncJobs();
      const [one, ...others] = this.providers.filter((provider) => provider.configured);
      const isOne = one && !others.length;
      toast(isOne ? t("discovered", { n: found.synced, provider: one.name }) : clean(found.message));
    } catch (error) {
      toast(t("syncFailed", { why: clean(reasonOf(error)) }), "bad");
    } finally {
      syncButton.removeAttribute("aria-disabled");
      syncButton.removeAttribute("aria-busy");
    }
    await Promise.all([this.list.load(), this.overview.loadMetrics(), this.loadMissing()]);
    this.list.sayEmpty();
  }

  openFromAddress() {
    const id = /^#job=([A-Za-z0-9_-]{1,64})$/.exec(location.hash)?.[1];
    if (id) this.details.open(id, this.list.jobs.get(id));
    else this.details.close();
  }

  startClock() {
    this.lastLoad = Date.now();
    setInterval(() => {
      if (document.hidden) return;
      this.list.tick();
      this.details.tick();
    }, 1000);
    setInterval(() => this.refreshProgress(), PROGRESS_EVERY_MS);
    setInterval(() => this.refreshOverview(), METRICS_EVERY_MS);
    setInterval(() => {
      if (!document.hidden && (this.linkState !== "live" || this.list.hasProblem)) this.catchUp();
    }, POLL_EVERY_MS);
  }

  async refreshOverview() {
    if (document.hidden) return;
    const { service } = this.overview;
    await Promise.all([this.overview.loadMetrics(), service.loadPoller(), this.loadMissing()]);
    this.list.sayEmpty();
  }

  soonReadProgress() {
    clearTimeout(this.progressTimer);
    this.progressTimer = setTimeout(() => this.refreshProgress(), PROGRESS_AFTER_MS);
  }

  /** One request for all running jobs on the screen; none while the page is hidden or nothing runs. */
  async refreshProgress() {
    if (document.hidden || this.isReadingProgress) return;
    const ids = this.list.idsOnScreen();
    if (!ids.length) return;
    this.isReadingProgress = true;
    try {
      this.list.takeProgress((await readPageProgress(ids)).progress);
    } catch {
      // The next round asks again.
    } finally {
      this.isReadingProgress = false;
    }
  }

  /** What may have been missed is read anew. */
  async catchUp() {
    this.lastLoad = Date.now();
    await Promise.all([
      this.list.load({ syncActive: this.linkState === "polling" }),
      this.overview.loadMetrics(),
      this.loadMissing(),
    ]);
    this.list.sayEmpty();
    await this.details.loadJob();
  }

  async connect() {
    try {
      const { connectLive } = await import("./live.js");
      connectLive({
        base: BASE,
        onEvents: (events) => this.take(events),
        onReset: () => this.catchUp(),
        onState: (state) => this.hearLink(state),
        isBusy: () => this.list.totals.active !== 0,
      });
    } catch {
      this.showLink("polling");
    }
  }

  /** @param {JobEvent[]} events */
  take(events) {
    this.list.take(events);
    this.details.take(events);
    if (events.some((event) => event.type === "job_deleted" || movesMetrics(event.status))) {
      clearTimeout(this.metricsTimer);
      this.metricsTimer = setTimeout(() => this.overview.loadMetrics(), METRICS_AFTER_MS);
    }
  }

  /**
   * A live connection is a service that is reached: what could not be read before is read now.
   *
   * @param {LinkState} state
   */
  hearLink(state) {
    if (state === "live") this.isUnreached = false;
    this.showLink(state);
    if (state === "live" && this.list.hasProblem) this.catchUp();
  }

  /** @param {LinkState} state */
  showLink(state) {
    this.linkState = state;
    this.hasConnected ||= state !== "catching_up" && state !== "connecting";
    const known = this.hasConnected ? state : "connecting";
    const shown = navigator.onLine === false || this.isUnreached ? "offline" : known;
    setAttribute(link, "data-state", shown);
    setText(linkText, t(`link.${shown}`));
    setAttribute(link, "title", t(`link.${shown}.about`));
  }

  /** @param {boolean} isReached */
  noteReached(isReached) {
    if (this.isUnreached === !isReached) return;
    this.isUnreached = !isReached;
    this.showLink(this.linkState);
  }

  askForKey() {
    if (this.isAsking) return;
    this.isAsking = true;
    const key = el("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 256 });
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const go = el("button", { type: "submit", class: "primary", text: t("signIn.go") });
    const form = el(
      "form",
      { class: "form" },
      el("p", { text: t("signIn.intro") }),
      field(t("signIn.key"), key),
      problem,
      el("div", { class: "buttons" }, go),
    );
    const onClose = () => {
      this.isAsking = false;
    };
    dialog(t("signIn.title"), { className: "small", closeText: t("close"), onClose }, form);
    key.focus();
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await signIn(key.value);
        location.reload();
      } catch (error) {
        setText(problem, error instanceof ApiError && error.status === 401 ? error.message : reasonOf(error));
        problem.hidden = false;
      }
    });
  }
}

/** @param {JobStatus | "deleted"} status */
const movesMetrics = (status) => ["running", "completed", "failed", "cancelled"].includes(status);

async function start() {
  const theme = THEMES.find((known) => known === remembered(THEME_STORED)) ?? "auto";
  useTheme(theme);
  await useLanguage(preferredLanguage());
  await new Page(theme).start();
}

start();
