// Cost, jobs, spending limit, and the state of what keeps this page true: provider, poller, webhook.

import { get, post, put, query, remove } from "./api.js";
import { BarChart } from "./charts.js";
import { clean, dialog, el, safeAddress, setAttribute, setText } from "./dom.js";
import { ago, day, duration, exact, isNumber, money, number, reasonOf, t } from "./i18n.js";
import { ACTIVE, ENDED } from "./jobs.js";

const DAYS = 30;
const STATUSES = ["running", "queued", "uploading", "pending", "completed", "failed", "cancelled"];
const PROVIDER = "replicate";
const CONFIG = `api/cloud/providers/${PROVIDER}/config`;

function card(name, ...children) {
  const title = el("h3", {});
  const node = el("article", { class: `card ${name}` }, title, ...children);
  return { node, title };
}

export class Overview {
  /** `toast(text, kind)` tells what became of an act; `onProvider()` after the token has changed. */
  constructor(root, { toast, onProvider }) {
    this.toast = toast;
    this.onProvider = onProvider;
    this.isConnected = null;
    this.hasToken = null;
    this.config = null;
    this.polling = null;
    this.makeCost(root);
    this.makeJobs(root);
    this.makeLimit(root);
    this.makeService(root);
    this.sayTitles();
  }

  /** What does not depend on any answer. */
  sayTitles() {
    setText(this.cost.title, t("card.cost", { days: DAYS }));
    setText(this.jobs.title, t("card.jobs", { days: DAYS }));
    setText(this.limit.title, t("card.limit"));
    setText(this.service.title, t("card.service"));
    setText(this.provider.label, "Replicate");
    setText(this.poller.label, t("poller"));
    setText(this.webhook.label, t("webhook"));
    setText(this.testButton, t("webhook.test"));
  }

  makeCost(root) {
    this.total = el("p", { class: "big" });
    this.chart = new BarChart(128);
    this.cost = card("cost", this.total, this.chart.node);
    root.append(this.cost.node);
  }

  makeJobs(root) {
    this.jobCount = el("p", { class: "big" });
    this.average = el("p", { class: "sub" });
    this.stack = el("div", { class: "stack", "aria-hidden": "true" });
    this.legend = el("ul", { class: "legend" });
    this.jobs = card("tally", el("div", { class: "pair" }, this.jobCount, this.average), this.stack, this.legend);
    root.append(this.jobs.node);
  }

  makeLimit(root) {
    this.spent = el("p", { class: "big" });
    this.limitNote = el("p", { class: "sub" });
    this.limitFill = el("span", { class: "fill" });
    this.limitBar = el(
      "span",
      { class: "track", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, hidden: true },
      this.limitFill,
    );
    this.limitButton = el("button", {
      type: "button",
      class: "quiet",
      hidden: true,
      on: { click: () => this.editLimit() },
    });
    this.limit = card("limit", this.spent, this.limitBar, this.limitNote, this.limitButton);
    root.append(this.limit.node);
  }

  makeService(root) {
    const line = (name) => {
      const parts = {
        label: el("span", { class: "label" }),
        text: el("span", { class: "state" }),
        actions: el("span", { class: "actions" }),
      };
      parts.node = el(
        "li",
        { "data-state": "unknown", class: name },
        el("span", { class: "dot" }),
        el("div", {}, parts.label, parts.text),
        parts.actions,
      );
      return parts;
    };
    [this.provider, this.poller, this.webhook] = [line("provider"), line("poller"), line("webhook")];
    this.tokenButton = el("button", {
      type: "button",
      class: "quiet",
      hidden: true,
      on: { click: () => this.editToken() },
    });
    this.provider.actions.append(this.tokenButton);
    this.urlButton = el("button", {
      type: "button",
      class: "quiet",
      hidden: true,
      on: { click: () => this.editWebhook() },
    });
    this.testButton = el("button", {
      type: "button",
      class: "quiet",
      hidden: true,
      on: { click: () => this.testWebhook() },
    });
    this.webhook.actions.append(this.urlButton, this.testButton);
    this.service = card(
      "service",
      el("ul", { class: "states" }, this.provider.node, this.poller.node, this.webhook.node),
    );
    root.append(this.service.node);
  }

  /** All at once; each part says for itself when it could not be read. */
  async load() {
    await Promise.all([this.loadMetrics(), this.loadProvider(), this.loadPoller(), this.loadConfig()]);
  }

  async loadMetrics() {
    await Promise.all([this.loadTotals(), this.loadLimit()]);
  }

  async loadTotals() {
    try {
      this.metrics = await get(`api/cloud/metrics${query({ days: DAYS })}`);
      this.showMetrics();
    } catch (error) {
      if (this.metrics) return;
      for (const figure of [this.total, this.jobCount]) setText(figure, "–");
      setText(this.average, reasonOf(error));
    }
  }

  async loadLimit() {
    try {
      this.limitStatus = await get("api/cloud/cost-limit/status");
      this.showLimit();
    } catch (error) {
      if (this.limitStatus) return;
      setText(this.spent, "–");
      setText(this.limitNote, reasonOf(error));
    }
  }

  /** What could not be read, or was not well when it was read. */
  async loadMissing() {
    await Promise.all([this.isConnected === true || this.loadProvider(), this.config !== null || this.loadConfig()]);
  }

  showMetrics() {
    const { metrics } = this;
    if (!metrics) return;
    setText(this.total, money(metrics.total_cost));
    this.chart.set({
      label: t("chart.cost", { days: DAYS, total: money(metrics.total_cost) }),
      bars: metrics.cost_by_day.map((entry) => ({ value: entry.cost, name: day(entry.date), jobs: entry.jobs })),
      format: (value) =>
        value >= 1000 ? `$${number(value / 1000)}k` : `$${number(value, value > 0 && value < 1 ? 2 : undefined)}`,
      tell: (bar) => t("chart.day", { day: bar.name, cost: money(bar.value), jobs: number(bar.jobs) }),
    });
    setText(this.jobCount, number(metrics.job_count));
    setText(
      this.average,
      isNumber(metrics.avg_job_duration_seconds)
        ? t("average", { time: duration(metrics.avg_job_duration_seconds) })
        : t("noneEnded"),
    );
    const shown = STATUSES.filter((status) => metrics.jobs_by_status[status] > 0);
    this.stack.replaceChildren(
      ...shown.map((status) => {
        const part = el("span", { "data-status": status });
        part.style.flexGrow = metrics.jobs_by_status[status];
        return part;
      }),
    );
    this.legend.replaceChildren(
      ...shown.map((status) =>
        el(
          "li",
          { "data-status": status },
          el("span", { class: "dot" }),
          el("span", { text: t(`status.${status}`) }),
          el("b", { text: number(metrics.jobs_by_status[status]) }),
        ),
      ),
    );
  }

  showLimit() {
    const limit = this.limitStatus;
    if (!limit) return;
    const state = !limit.enabled ? "off" : limit.is_exceeded ? "bad" : limit.is_warning ? "warn" : "good";
    this.limit.node.dataset.state = state;
    setText(this.spent, limit.enabled ? money(limit.current_spend) : "–");
    setText(
      this.limitNote,
      limit.enabled
        ? t(`limit.${state}`, {
            amount: money(limit.limit_amount),
            period: t(`period.${limit.period}`),
            percent: number(limit.percent_used, 0),
            action: t(`action.${limit.action}`),
          })
        : t("limit.off"),
    );
    this.limitBar.hidden = !limit.enabled;
    this.limitButton.hidden = false;
    this.limitBar.setAttribute("aria-valuenow", Math.min(100, limit.percent_used));
    this.limitBar.setAttribute("aria-label", t("card.limit"));
    this.limitFill.style.transform = `scaleX(${Math.min(1, limit.percent_used / 100)})`;
    setText(this.limitButton, limit.enabled ? t("change") : t("limit.set"));
  }

  get tokenAct() {
    return t(this.hasToken || this.isConnected ? "provider.change" : "provider.add");
  }

  takeProviders(providers) {
    this.hasToken = providers.some((provider) => provider.id === PROVIDER && provider.configured);
    setText(this.tokenButton, this.tokenAct);
  }

  async loadProvider() {
    try {
      const found = await get(`api/cloud/${PROVIDER}/validate`);
      this.isConnected = found.valid;
      this.say(
        this.provider,
        found.valid ? "good" : "bad",
        found.valid ? t("provider.valid", { user: clean(found.username) }) : found.error,
      );
    } catch (error) {
      this.say(this.provider, "unknown", reasonOf(error));
    }
    setText(this.tokenButton, this.tokenAct);
    this.tokenButton.hidden = false;
  }

  async loadPoller() {
    try {
      this.polling = await get("api/cloud/polling/status");
      this.showPoller();
    } catch (error) {
      if (!this.polling) this.say(this.poller, "unknown", reasonOf(error));
    }
  }

  /** Poller and webhook stand in for each other, so each is told by the other's state, too. */
  showPoller() {
    const { polling } = this;
    if (!polling) return;
    const [fault] = polling.last_errors ?? [];
    const last = polling.last_tick_at ? t("poller.last", { ago: ago(polling.last_tick_at) }) : t("poller.never");
    if (!polling.is_active) {
      this.say(
        this.poller,
        this.config?.webhook_url ? "off" : "warn",
        t(this.config?.webhook_url ? "poller.off" : "poller.offAll"),
      );
    } else if (fault) this.say(this.poller, "bad", t("poller.fault", { why: clean(fault.message) }));
    else {
      this.say(
        this.poller,
        "good",
        t("sentences", {
          first: t("poller.on", { every: duration(polling.effective_interval_seconds ?? polling.interval_seconds) }),
          second: last,
        }),
      );
    }
    setAttribute(
      this.poller.text,
      "title",
      [polling.reason, polling.last_tick_at ? t("poller.last", { ago: exact(polling.last_tick_at) }) : last]
        .filter(Boolean)
        .join(" · "),
    );
    if (this.config) this.showConfig();
  }

  async loadConfig() {
    try {
      this.config = (await get(CONFIG)).config;
      this.showConfig();
      this.showPoller();
    } catch (error) {
      this.say(this.webhook, "unknown", reasonOf(error));
    }
  }

  showConfig() {
    const url = this.config.webhook_url;
    this.say(
      this.webhook,
      url ? "good" : "off",
      url || t(this.polling?.is_active === false ? "webhook.none" : "webhook.off"),
    );
    setAttribute(this.webhook.text, "title", url || null);
    setText(this.urlButton, url ? t("change") : t("webhook.set"));
    this.urlButton.hidden = false;
    this.testButton.hidden = !url;
  }

  say(line, state, text) {
    line.node.dataset.state = state;
    setText(line.text, text);
  }

  renew() {
    this.sayTitles();
    this.showMetrics();
    this.showLimit();
    this.loadProvider();
    this.loadPoller();
    this.loadConfig();
  }

  /** A form in a dialog; `submit(values)` sends it, and its error stays in the dialog. */
  form(title, intro, fields, submit, further = null) {
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const save = el("button", { type: "submit", class: "primary", text: t("save") });
    const form = el(
      "form",
      { class: "form" },
      intro,
      ...fields.map((field) => field.node),
      problem,
      el("div", { class: "buttons" }, further, save),
    );
    const shown = dialog(title, { className: "small", closeText: t("close") }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      save.disabled = true;
      try {
        this.toast(await submit(), "good");
        shown.close();
      } catch (error) {
        problem.textContent = clean(reasonOf(error));
        problem.hidden = false;
      } finally {
        save.disabled = false;
      }
    });
    return shown;
  }

  field(label, input, hint) {
    return {
      node: el(
        "label",
        { class: "field" },
        el("span", { text: label }),
        input,
        hint ? el("small", { text: hint }) : null,
      ),
    };
  }

  editToken() {
    const input = el("input", {
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      maxlength: 512,
    });
    const address = "https://replicate.com/account/api-tokens";
    const where = el("a", { target: "_blank", rel: "noopener noreferrer", text: address });
    where.href = safeAddress(address);
    const forget = el("button", {
      type: "button",
      class: "danger quiet",
      text: t("provider.forget"),
      on: {
        click: async () => {
          if (forget.textContent !== t("provider.forgetSure")) {
            setText(forget, t("provider.forgetSure"));
            return;
          }
          try {
            const answer = await remove(`api/cloud/providers/${PROVIDER}/token`);
            this.toast(answer.success ? t("provider.forgotten") : answer.error, answer.success ? "good" : "bad");
          } catch (error) {
            this.toast(reasonOf(error), "bad");
          }
          shown.close();
          await this.loadProvider();
          this.onProvider();
        },
      },
    });
    const shown = this.form(
      t("provider.dialog"),
      el("p", {}, t("provider.intro"), " ", where),
      [this.field(t("provider.token"), input)],
      async () => {
        const kept = await put(`api/cloud/providers/${PROVIDER}/token`, { api_token: input.value });
        await this.loadProvider();
        this.onProvider();
        return kept.error ?? t("provider.kept", { where: clean(kept.file_path) });
      },
      this.isConnected ? forget : null,
    );
  }

  editWebhook() {
    const input = el("input", {
      type: "url",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 300,
      placeholder: "https://…/api/webhooks/replicate",
      value: this.config?.webhook_url ?? "",
    });
    this.form(
      t("webhook.dialog"),
      el("p", { text: t("webhook.intro") }),
      [this.field(t("webhook.url"), input, t("webhook.hint"))],
      async () => {
        this.config = (await put(CONFIG, { webhook_url: input.value.trim() })).config;
        this.showConfig();
        await this.loadPoller();
        return t("saved");
      },
    );
  }

  async testWebhook() {
    this.testButton.disabled = true;
    try {
      const found = await post("api/cloud/webhook/test", {
        webhook_url: this.config?.webhook_url,
        provider: PROVIDER,
        method: "POST",
      });
      this.toast(
        found.success
          ? t("webhook.works", { ms: number(Math.round(found.latency_ms ?? 0)) })
          : t("webhook.fails", { why: clean(found.error) }),
        found.success ? "good" : "bad",
      );
    } catch (error) {
      this.toast(reasonOf(error), "bad");
    } finally {
      this.testButton.disabled = false;
    }
  }

  editLimit() {
    const status = this.limitStatus ?? {};
    const choice = (values, chosen, prefix) =>
      el(
        "select",
        {},
        ...values.map((value) => el("option", { value, selected: value === chosen, text: t(`${prefix}.${value}`) })),
      );
    const enabled = el("input", { type: "checkbox", checked: status.enabled !== false || !status.limit_amount });
    const amount = el("input", {
      type: "number",
      min: 0,
      max: 1000000,
      step: "0.01",
      required: true,
      inputmode: "decimal",
      value: status.limit_amount || 50,
    });
    const period = choice(["daily", "weekly", "monthly"], status.period, "period");
    const action = choice(["warn", "block"], status.action, "action");
    this.form(
      t("limit.dialog"),
      el("p", { text: t("limit.intro") }),
      [
        { node: el("label", { class: "check" }, enabled, el("span", { text: t("limit.enabled") })) },
        this.field(t("limit.amount"), amount),
        this.field(t("limit.period"), period),
        this.field(t("limit.action"), action),
      ],
      async () => {
        await put(CONFIG, {
          cost_limit_enabled: enabled.checked,
          cost_limit_amount: Number(amount.value),
          cost_limit_period: period.value,
          cost_limit_action: action.value,
        });
        await this.loadMetrics();
        return t("saved");
      },
    );
  }
}

/** What the status filter offers, in the order of life. */
export function statusOptions() {
  const option = (value, text) => el("option", { value, text });
  return [
    option("", t("filter.all")),
    option("active", t("filter.active")),
    ...[...ACTIVE].reverse().map((status) => option(status, t(`status.${status}`))),
    ...ENDED.map((status) => option(status, t(`status.${status}`))),
  ];
}

export function providerOptions(providers) {
  return [
    el("option", { value: "", text: t("filter.providers") }),
    ...providers.map((provider) => el("option", { value: provider.id, text: provider.name })),
  ];
}
