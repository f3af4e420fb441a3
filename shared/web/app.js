// Starts the page and ties its parts together: list, overview, details, live changes, language and theme.

import { BASE, get, listen, post } from "./api.js";
import { Details } from "./details.js";
import { clean, dialog, el, onTop, setAttribute, setText, show } from "./dom.js";
import {
  currentLanguage,
  LANGUAGES,
  preferredLanguage,
  reasonOf,
  remember,
  remembered,
  rememberLanguage,
  t,
  useLanguage,
} from "./i18n.js";
import { JobList } from "./jobs.js";
import { Overview, providerOptions, statusOptions } from "./overview.js";

const PROGRESS_EVERY_MS = 5000;
const POLL_EVERY_MS = 30_000;
const METRICS_EVERY_MS = 60_000;
const METRICS_AFTER_MS = 1500;
const TOAST_MS = 7000;
const SEARCH_AFTER_MS = 250;
const THEMES = ["auto", "light", "dark"];
const THEME_STORED = "simpletuner-theme";

const $ = (id) => document.getElementById(id);

function toast(text, kind = "good") {
  if ($("toasts").parentNode !== onTop()) onTop().append($("toasts"));
  const note = el(
    "div",
    { class: "toast", "data-kind": kind, role: kind === "bad" ? "alert" : null },
    el("span", { text }),
    el("button", {
      type: "button",
      class: "ghost",
      "aria-label": t("close"),
      text: "✕",
      on: { click: () => note.remove() },
    }),
  );
  $("toasts").append(note);
  while ($("toasts").childElementCount > 4) $("toasts").firstChild.remove();
  setTimeout(() => note.remove(), kind === "bad" ? 2 * TOAST_MS : TOAST_MS);
}

class Page {
  async start() {
    this.applyTheme(remembered(THEME_STORED) ?? "auto");
    await useLanguage(preferredLanguage());
    listen({ signedOut: () => this.askForKey(), reached: (isReached) => this.noteReached(isReached) });
    this.list = new JobList($("list"), {
      onUnread: () => this.soonReadProgress(),
      explainEmpty: () => this.explainEmpty(),
    });
    this.overview = new Overview($("overview"), { toast, onProvider: () => this.onProvider() });
    this.details = new Details({
      toast,
      onJob: (job) => this.list.jobs.has(job.job_id) && this.list.merge(this.list.jobs.get(job.job_id), job),
      onDeleted: (id) => this.list.take([{ type: "job_deleted", job_id: id }]),
      onClosed: () => {
        if (location.hash.startsWith("#job=")) history.replaceState(null, "", location.pathname + location.search);
      },
    });
    this.bind();
    this.say();
    await Promise.all([this.list.load(), this.overview.load(), this.loadProviders(), this.loadWho()]);
    this.list.sayEmpty();
    this.openFromAddress();
    this.startClock();
    this.connect();
  }

  bind() {
    $("sync").addEventListener("click", () => this.sync());
    $("search").addEventListener("input", () => {
      clearTimeout(this.searching);
      this.searching = setTimeout(() => this.list.setFilter({ q: $("search").value.trim() }), SEARCH_AFTER_MS);
    });
    $("status-filter").addEventListener("change", () => this.list.setFilter({ status: $("status-filter").value }));
    $("provider-filter").addEventListener("change", () =>
      this.list.setFilter({ provider: $("provider-filter").value }),
    );
    $("list").addEventListener("clear-filters", () => {
      $("search").value = "";
      $("status-filter").value = "";
      $("provider-filter").value = "";
      this.list.setFilter({ q: "", status: "", provider: "" });
      $("search").focus();
    });
    $("language").addEventListener("click", () => this.switchLanguage());
    $("theme").addEventListener("click", () =>
      this.applyTheme(THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length]),
    );
    $("sign-out").addEventListener("click", async () => {
      await post("api/auth/logout").catch(() => {});
      location.reload();
    });
    addEventListener("hashchange", () => this.openFromAddress());
    addEventListener("offline", () => this.showLink(this.linkState));
    addEventListener("online", () => {
      this.showLink(this.linkState);
      this.catchUp();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) {
        this.refreshProgress();
        if (Date.now() - this.lastLoad > POLL_EVERY_MS) this.catchUp();
      }
    });
  }

  /** Everything that is not a `data-t` text: labels, options, the state of the connection. */
  say() {
    document.title = t("title");
    for (const [id, key] of [
      ["search", "filter.search"],
      ["status-filter", "filter.status"],
      ["provider-filter", "filter.provider"],
    ]) {
      setAttribute($(id), "aria-label", t(key));
    }
    setAttribute($("search"), "placeholder", t("filter.search"));
    this.fill($("status-filter"), statusOptions());
    this.fill($("provider-filter"), providerOptions(this.providers ?? []));
    const other = LANGUAGES.find((name) => name !== currentLanguage());
    setText($("language"), t(`language.${other}`));
    setAttribute($("language"), "lang", other);
    this.sayTheme();
    this.showLink(this.linkState ?? "connecting");
  }

  fill(select, options) {
    const chosen = select.value;
    select.replaceChildren(...options);
    select.value = chosen;
  }

  async switchLanguage() {
    const other = LANGUAGES[(LANGUAGES.indexOf(currentLanguage()) + 1) % LANGUAGES.length];
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

  applyTheme(theme) {
    this.theme = THEMES.includes(theme) ? theme : "auto";
    if (this.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
    remember(THEME_STORED, this.theme);
    this.sayTheme();
  }

  sayTheme() {
    setText($("theme"), { auto: "◐", light: "☀", dark: "☾" }[this.theme]);
    setAttribute($("theme"), "aria-label", t(`theme.${this.theme}`));
    setAttribute($("theme"), "title", t(`theme.${this.theme}`));
  }

  async loadProviders() {
    try {
      this.providers = (await get("api/cloud/providers")).providers;
      this.overview.takeProviders(this.providers);
      this.fill($("provider-filter"), providerOptions(this.providers));
    } catch {
      // The list itself says when the service cannot be reached.
    }
  }

  async loadWho() {
    try {
      show($("sign-out"), (await get("api/auth/me")).can_sign_out);
    } catch {
      // Signed out: the form for the key is on its way.
    }
  }

  async onProvider() {
    await Promise.all([this.list.load(), this.loadProviders()]);
    this.list.sayEmpty();
  }

  explainEmpty() {
    const button = (text, click, kind = null) => el("button", { type: "button", class: kind, text, on: { click } });
    const sync = button(t("sync"), () => this.sync());
    if (this.overview.isConnected !== false) {
      return [
        el("p", { class: "strong", text: t("empty.none") }),
        el("p", { text: t("empty.howTo") }),
        el("p", {}, el("code", { text: "simpletuner cloud jobs submit <config>" })),
        sync,
      ];
    }
    const edit = button(this.overview.tokenAct, () => this.overview.editToken(), "primary");
    if (!this.overview.hasToken) {
      return [el("p", { class: "strong", text: t("empty.noProvider") }), el("p", { text: t("empty.addToken") }), edit];
    }
    return [
      el("p", { class: "strong", text: t("empty.unread") }),
      el("p", { text: this.overview.provider.text.textContent }),
      el("div", { class: "buttons" }, sync, edit),
    ];
  }

  async sync() {
    const button = $("sync");
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    button.setAttribute("aria-busy", "true");
    try {
      const found = await post("api/cloud/jobs/sync");
      const provider = /from (.+)$/.exec(found.message ?? "")?.[1];
      const isOne = (this.providers ?? []).filter((one) => one.configured).length <= 1;
      toast(
        isOne ? t("discovered", { n: found.synced, provider: clean(provider ?? "Replicate") }) : clean(found.message),
      );
    } catch (error) {
      toast(t("syncFailed", { why: clean(reasonOf(error)) }), "bad");
    } finally {
      button.removeAttribute("aria-disabled");
      button.removeAttribute("aria-busy");
    }
    await Promise.all([this.list.load(), this.overview.loadMetrics(), this.overview.loadMissing()]);
    this.list.sayEmpty();
  }

  openFromAddress() {
    const match = /^#job=([A-Za-z0-9_-]{1,64})$/.exec(location.hash);
    if (match) this.details.open(match[1], this.list.jobs.get(match[1]));
    else if (this.details.isOpen) this.details.close();
  }

  startClock() {
    this.lastLoad = Date.now();
    setInterval(() => {
      if (document.hidden) return;
      this.list.tick();
      this.details.tick();
    }, 1000);
    setInterval(() => this.refreshProgress(), PROGRESS_EVERY_MS);
    setInterval(() => {
      if (document.hidden) return;
      this.overview.loadMetrics();
      this.overview.loadPoller();
      this.overview.loadMissing().then(() => this.list.sayEmpty());
    }, METRICS_EVERY_MS);
    setInterval(() => {
      if (!document.hidden && (this.linkState !== "live" || this.list.hasProblem)) this.catchUp();
    }, POLL_EVERY_MS);
  }

  soonReadProgress() {
    clearTimeout(this.progressTimer);
    this.progressTimer = setTimeout(() => this.refreshProgress(), 150);
  }

  /** One request for all running jobs on the screen; none while the page is hidden or nothing runs. */
  async refreshProgress() {
    if (document.hidden || this.isReadingProgress) return;
    const ids = this.list.idsOnScreen();
    if (!ids.length) return;
    this.isReadingProgress = true;
    try {
      this.list.takeProgress((await get(`api/cloud/progress?ids=${ids.join(",")}`)).progress);
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
      this.overview.loadMissing(),
    ]);
    this.list.sayEmpty();
    if (this.details.isOpen) this.details.loadJob();
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

  take(events) {
    this.list.take(events);
    this.details.take(events);
    if (
      events.some(
        (event) =>
          event.type === "job_deleted" || ["running", "completed", "failed", "cancelled"].includes(event.status),
      )
    ) {
      clearTimeout(this.metricsTimer);
      this.metricsTimer = setTimeout(() => this.overview.loadMetrics(), METRICS_AFTER_MS);
    }
  }

  /** A live connection is a service that is reached: what could not be read before is read now. */
  hearLink(state) {
    if (state === "live") this.isUnreached = false;
    this.showLink(state);
    if (state === "live" && this.list.hasProblem) this.catchUp();
  }

  showLink(state) {
    this.linkState = state;
    this.hasConnected ||= state !== "catching_up" && state !== "connecting";
    const known = this.hasConnected ? state : "connecting";
    const shown = navigator.onLine === false || this.isUnreached ? "offline" : known;
    setAttribute($("link"), "data-state", shown);
    setText($("link-text"), t(`link.${shown}`));
    setAttribute($("link"), "title", t(`link.${shown}.about`));
  }

  noteReached(isReached) {
    if (this.isUnreached === !isReached) return;
    this.isUnreached = !isReached;
    this.showLink(this.linkState ?? "connecting");
  }

  askForKey() {
    if (this.isAsking) return;
    this.isAsking = true;
    const key = el("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 256 });
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const form = el(
      "form",
      { class: "form" },
      el("p", { text: t("signIn.intro") }),
      el("label", { class: "field" }, el("span", { text: t("signIn.key") }), key),
      problem,
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary", text: t("signIn.go") })),
    );
    dialog(
      t("signIn.title"),
      { className: "small", closeText: t("close"), onClose: () => (this.isAsking = false) },
      form,
    );
    key.focus();
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await post("api/auth/login", { key: key.value });
        location.reload();
      } catch (error) {
        setText(problem, error.status === 401 ? error.message : reasonOf(error));
        problem.hidden = false;
      }
    });
  }
}

new Page().start();
