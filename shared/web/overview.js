// Cost, jobs, spending limit, and the state of what keeps this page true.

/** @import { CostLimit, JobStatus, LimitAction, LimitPeriod, Metrics, Provider, Toast } from "./types.d.ts" */

import { changeProviderConfig, readCostLimit, readMetrics } from "./api.js";
import { BarChart } from "./charts.js";
import { el, setAttribute, setChildren, setText, show } from "./dom.js";
import { field, formDialog } from "./form.js";
import { day, duration, isNumber, money, number, reasonOf, t } from "./i18n.js";
import { ofProvider, sayButton } from "./providers.js";
import { Service } from "./service.js";

const DAYS = 30;
/** @type {JobStatus[]} */
const STATUSES = ["running", "queued", "uploading", "pending", "completed", "failed", "cancelled"];
/** @type {LimitPeriod[]} */
const PERIODS = ["daily", "weekly", "monthly"];
/** @type {LimitAction[]} */
const ACTIONS = ["warn", "block"];
const FIRST_AMOUNT = 50;

class Card {
  /**
   * @param {string} name
   * @param {HTMLElement[]} children
   */
  constructor(name, ...children) {
    this.title = el("h3", {});
    this.node = el("article", { class: `card ${name}` }, this.title, ...children);
  }
}

/** What the last days have cost, and how many jobs of which status there were in them. */
class Totals {
  constructor() {
    /** @type {Metrics | null} */
    this.metrics = null;
    this.total = el("p", { class: "big" });
    this.chart = new BarChart(128);
    this.cost = new Card("cost", this.total, this.chart.node);
    this.jobCount = el("p", { class: "big" });
    this.average = el("p", { class: "sub" });
    this.stack = el("div", { class: "stack", "aria-hidden": "true" });
    this.legend = el("ul", { class: "legend" });
    const pair = el("div", { class: "pair" }, this.jobCount, this.average);
    this.jobs = new Card("tally", pair, this.stack, this.legend);
  }

  async load() {
    try {
      this.metrics = await readMetrics(DAYS);
      this.show();
    } catch (error) {
      if (this.metrics) return;
      for (const figure of [this.total, this.jobCount]) setText(figure, "–");
      setText(this.average, reasonOf(error));
    }
  }

  show() {
    setText(this.cost.title, t("card.cost", { days: DAYS }));
    setText(this.jobs.title, t("card.jobs", { days: DAYS }));
    if (!this.metrics) return;
    this.showCost(this.metrics);
    this.showJobs(this.metrics);
  }

  /** @param {Metrics} metrics */
  showCost({ total_cost, cost_by_day }) {
    setText(this.total, money(total_cost));
    this.chart.set({
      label: t("chart.cost", { days: DAYS, total: money(total_cost) }),
      bars: cost_by_day.map((entry) => ({ value: entry.cost, name: day(entry.date), jobs: entry.jobs })),
      format: (value) =>
        value >= 1000 ? `$${number(value / 1000)}k` : `$${number(value, value > 0 && value < 1 ? 2 : undefined)}`,
      tell: (bar) => t("chart.day", { day: bar.name, cost: money(bar.value), jobs: number(bar.jobs) }),
    });
  }

  /** @param {Metrics} metrics */
  showJobs({ job_count, avg_job_duration_seconds: average, jobs_by_status }) {
    setText(this.jobCount, number(job_count));
    setText(this.average, isNumber(average) ? t("average", { time: duration(average) }) : t("noneEnded"));
    const shown = STATUSES.flatMap((status) => {
      const jobs = jobs_by_status[status] ?? 0;
      return jobs > 0 ? [{ status, jobs }] : [];
    });
    this.stack.replaceChildren(
      ...shown.map(({ status, jobs }) => {
        const part = el("span", { "data-status": status });
        part.style.flexGrow = String(jobs);
        return part;
      }),
    );
    this.legend.replaceChildren(
      ...shown.map(({ status, jobs }) =>
        el(
          "li",
          { "data-status": status },
          el("span", { class: "dot" }),
          el("span", { text: t(`status.${status}`) }),
          el("b", { text: number(jobs) }),
        ),
      ),
    );
  }
}

/** What may be spent at a provider, and how much of it is. */
class Limit {
  /**
   * @param {Provider} provider
   * @param {{ toast: Toast, onChanged: () => Promise<void> }} hooks
   */
  constructor(provider, { toast, onChanged }) {
    this.provider = provider;
    this.toast = toast;
    this.onChanged = onChanged;
    /** @type {CostLimit | null} */
    this.status = null;
    this.owner = el("p", { class: "owner", text: provider.name });
    this.spent = el("p", { class: "big" });
    this.note = el("p", { class: "sub" });
    this.fill = el("span", { class: "fill" });
    this.bar = el(
      "span",
      { class: "track", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, hidden: true },
      this.fill,
    );
    this.button = el("button", { type: "button", class: "quiet", hidden: true, on: { click: () => this.edit() } });
    this.node = el("section", { class: "budget" }, this.owner, this.spent, this.bar, this.note, this.button);
  }

  async load() {
    try {
      this.status = await readCostLimit(this.provider.id);
      this.show();
    } catch (error) {
      if (this.status) return;
      setText(this.spent, "–");
      setText(this.note, reasonOf(error));
    }
  }

  show() {
    const title = ofProvider(t("card.limit"), this.provider);
    show(this.owner, title !== t("card.limit"));
    if (!this.status) return;
    const { enabled, current_spend, percent_used } = this.status;
    this.node.dataset.state = this.state(this.status);
    setText(this.spent, enabled ? money(current_spend) : "–");
    setText(this.note, this.noteOf(this.status));
    this.bar.hidden = !enabled;
    this.button.hidden = false;
    setAttribute(this.bar, "aria-valuenow", Math.min(100, percent_used));
    setAttribute(this.bar, "aria-label", title);
    this.fill.style.transform = `scaleX(${Math.min(1, percent_used / 100)})`;
    sayButton(this.button, enabled ? t("change") : t("limit.set"), this.provider);
  }

  /** @param {CostLimit} status */
  state({ enabled, is_exceeded, is_warning }) {
    if (!enabled) return "off";
    if (is_exceeded) return "bad";
    return is_warning ? "warn" : "good";
  }

  /** @param {CostLimit} status */
  noteOf(status) {
    const state = this.state(status);
    if (state === "off") return t("limit.off");
    return t(`limit.${state}`, {
      amount: money(status.limit_amount),
      period: t(`period.${status.period}`),
      percent: number(status.percent_used, 0),
      action: t(`action.${status.action}`),
    });
  }

  edit() {
    const { status } = this;
    const enabled = el("input", { type: "checkbox", checked: status?.enabled || !status?.limit_amount });
    const amount = el("input", {
      type: "number",
      min: 0,
      max: 1000000,
      step: "0.01",
      required: true,
      inputmode: "decimal",
      value: status?.limit_amount || FIRST_AMOUNT,
    });
    const period = choice(PERIODS, status?.period, (value) => t(`period.${value}`));
    const action = choice(ACTIONS, status?.action, (value) => t(`action.${value}`));
    formDialog(
      {
        title: ofProvider(t("limit.dialog"), this.provider),
        toast: this.toast,
        submit: async () => {
          await changeProviderConfig(this.provider.id, {
            cost_limit_enabled: enabled.checked,
            cost_limit_amount: Number(amount.value),
            cost_limit_period: period.value(),
            cost_limit_action: action.value(),
          });
          await this.onChanged();
          return t("saved");
        },
      },
      el("p", { text: t("limit.intro") }),
      el("label", { class: "check" }, enabled, el("span", { text: t("limit.enabled") })),
      field(t("limit.amount"), amount),
      field(t("limit.period"), period.node),
      field(t("limit.action"), action.node),
    );
  }
}

/**
 * A select whose value is one of the given ones.
 *
 * @template {string} Value
 * @param {Value[]} values
 * @param {Value | undefined} chosen
 * @param {(value: Value) => string} textOf
 */
function choice(values, chosen, textOf) {
  const options = values.map((value) => el("option", { value, selected: value === chosen, text: textOf(value) }));
  const node = el("select", {}, ...options);
  return { node, value: () => values[node.selectedIndex] };
}

/** The spending limit of each provider. */
class Limits {
  /** @param {{ toast: Toast, onChanged: () => Promise<void> }} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {Limit[]} */
    this.limits = [];
    this.unread = el("p", { class: "sub" });
    this.card = new Card("limit", this.unread);
  }

  /** @param {Provider[]} providers */
  async take(providers) {
    const before = this.limits;
    this.limits = providers.map(
      (provider) => before.find((limit) => limit.provider.id === provider.id) ?? new Limit(provider, this.hooks),
    );
    setChildren(this.card.node, [this.card.title, ...this.limits.map((limit) => limit.node)]);
    this.show();
    await Promise.all(this.limits.filter((limit) => !before.includes(limit)).map((limit) => limit.load()));
  }

  async load() {
    await Promise.all(this.limits.map((limit) => limit.load()));
  }

  show() {
    setText(this.card.title, t("card.limit"));
    for (const limit of this.limits) limit.show();
  }
}

export class Overview {
  /**
   * @param {HTMLElement} root
   * @param {{ toast: Toast, onProvider: () => void }} hooks `onProvider()` after a token has changed
   */
  constructor(root, { toast, onProvider }) {
    this.totals = new Totals();
    this.limits = new Limits({ toast, onChanged: () => this.loadMetrics() });
    this.service = new Service({ toast, onProvider });
    this.serviceCard = new Card("service", this.service.node);
    root.append(this.totals.cost.node, this.totals.jobs.node, this.limits.card.node, this.serviceCard.node);
    this.show();
  }

  /** @param {Provider[]} providers */
  async takeProviders(providers) {
    await Promise.all([this.limits.take(providers), this.service.takeProviders(providers)]);
  }

  /**
   * Nothing is known of the providers yet.
   *
   * @param {string} why
   */
  missProviders(why) {
    setText(this.limits.unread, why);
    this.service.missProviders(why);
  }

  show() {
    this.totals.show();
    this.limits.show();
    setText(this.serviceCard.title, t("card.service"));
  }

  /** All at once; each part says for itself when it could not be read. */
  async load() {
    await Promise.all([this.loadMetrics(), this.service.loadPoller()]);
  }

  async loadMetrics() {
    await Promise.all([this.totals.load(), this.limits.load()]);
  }

  /** After the language has changed. */
  renew() {
    this.show();
    this.service.renew();
  }
}
