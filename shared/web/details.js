// One job in full: figures, loss and pace, timeline, error, log with follow, metadata, cancel and delete.

import { get, jobPath, post, query, remove } from "./api.js";
import { LineChart } from "./charts.js";
import { clean, data, dialog, el, link, safeAddress, setText, show } from "./dom.js";
import { clock, duration, exact, figure, isNumber, money, number, percent, reasonOf, t } from "./i18n.js";
import {
  costOf,
  isActive,
  nameOf,
  progressBar,
  providerName,
  secondsOf,
  statusChip,
  updateBar,
  updateChip,
} from "./jobs.js";

const LOG_EVERY_MS = 4000;
const FINAL_LOG_EVERY_MS = 15_000;
const FINAL_LOG_WITHIN_MS = 3_600_000;
const PROGRESS_EVERY_MS = 5000;
// Another reader may be asking the provider just now; what it finds is there a moment later.
const FIRST_PROGRESS_MS = [600, 1200, 2400];
const BLOCK_LINES = 200;
const MOST_LINES = 6000;
const PACE_POINTS = 60;
const PACE_SECONDS = 20;
const DEEP = 4;

function tile(key) {
  const name = el("dt", { text: t(`tile.${key}`) });
  const value = el("dd", { text: "–" });
  return { node: el("div", { class: "tile" }, name, value), name, value };
}

function part(title, ...children) {
  return el("section", { class: "part" }, el("h3", { text: title }), ...children);
}

/** The log as blocks of lines: only the newest stay in the page, the whole can be saved. */
class LogView {
  constructor() {
    this.box = el("pre", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": t("log") });
    this.follow = el("input", { type: "checkbox", checked: true });
    this.state = el("span", { class: "sub", text: t("log.loading") });
    this.save = el("button", { type: "button", class: "quiet", text: t("log.save"), hidden: true });
    this.node = el(
      "div",
      {},
      el(
        "div",
        { class: "log-bar" },
        el("label", { class: "check" }, this.follow, el("span", { text: t("log.follow") })),
        this.state,
        this.save,
      ),
      this.box,
    );
    this.text = "";
    this.lines = 0;
    this.tail = null;
    this.top = 0;
    // Blocks get their real height when they come into sight; the end moves with them.
    this.sizes = new ResizeObserver(() => this.scroll());
    this.follow.addEventListener("change", () => this.scroll());
    this.box.addEventListener(
      "scroll",
      () => {
        // Only a reader goes up; what the page itself does ends at the end.
        const isAtEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
        if (!isAtEnd && this.box.scrollTop < this.top) this.follow.checked = false;
        this.top = this.box.scrollTop;
      },
      { passive: true },
    );
  }

  add(text) {
    this.text += text;
    const lines = text.split("\n");
    for (let start = 0; start < lines.length; start += BLOCK_LINES) {
      const piece =
        lines.slice(start, start + BLOCK_LINES).join("\n") + (start + BLOCK_LINES < lines.length ? "\n" : "");
      if (!this.tail || this.tailLines >= BLOCK_LINES) {
        this.tail = el("span", { class: "block" });
        this.tailLines = 0;
        this.box.append(this.tail);
        this.sizes.observe(this.tail);
      }
      this.tail.append(clean(piece));
      this.tailLines += Math.min(BLOCK_LINES, lines.length - start);
      this.lines += Math.min(BLOCK_LINES, lines.length - start);
    }
    let isCut = false;
    while (this.lines > MOST_LINES && this.box.childElementCount > 2) {
      this.sizes.unobserve(this.box.firstElementChild);
      this.box.firstElementChild.remove();
      this.lines -= BLOCK_LINES;
      isCut = true;
    }
    if (isCut) this.isCut = true;
    setText(this.state, this.isCut ? t("log.cut", { lines: number(MOST_LINES) }) : "");
    show(this.save, this.text.length > 0);
    this.scroll();
  }

  scroll() {
    if (!this.follow.checked) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.top = this.box.scrollTop;
  }
}

export class Details {
  /** `toast(text, kind)`, `onJob(job)` with every newer version of the job, `onDeleted(id)`, `onClosed()`. */
  constructor({ toast, onJob, onDeleted, onClosed }) {
    Object.assign(this, { toast, onJob, onDeleted, onClosed });
    this.id = null;
  }

  get isOpen() {
    return this.id !== null;
  }

  async open(id, known) {
    if (this.id === id) return;
    this.shown?.close();
    this.id = id;
    this.looks = 0;
    this.build();
    if (known) this.showJob(known);
    await this.loadJob();
    if (this.id === id && this.job) this.begin();
  }

  begin() {
    if (this.hasBegun) return;
    this.hasBegun = true;
    this.loadProgress();
    this.loadLog();
  }

  close() {
    this.shown?.close();
  }

  build() {
    Object.assign(this, {
      job: null,
      hasBegun: false,
      next: 0,
      isCancelling: false,
      actionKinds: "",
      metadataText: "",
    });
    this.chip = el("span", { class: "chip-place" });
    this.identity = el("p", { class: "sub identity" });
    this.actions = el("div", { class: "buttons start" });
    this.problem = el("div", { class: "problem", role: "alert", hidden: true });
    this.waiting = el("p", { class: "sub", role: "status", text: t("loading") });
    this.progress = progressBar();
    this.stage = el("p", { class: "stage-line" }, el("span", { class: "stage" }), el("span", { class: "figure" }));
    this.progressPart = el("div", { class: "running wide", hidden: true }, this.stage, this.progress.bar);
    this.tiles = Object.fromEntries(
      ["duration", "left", "cost", "hardware", "step", "epoch", "loss", "rate", "pace"].map((key) => [key, tile(key)]),
    );
    this.error = el("pre", { class: "error-text", tabindex: 0 });
    this.errorPart = part(t("errorTitle"), this.error);
    this.errorPart.hidden = true;
    this.lossChart = new LineChart(190);
    this.paceChart = new LineChart(120);
    this.lossPart = part(t("chart.lossTitle"), this.lossChart.node);
    this.pacePart = part(t("chart.paceTitle"), this.paceChart.node);
    this.lossPart.hidden = this.pacePart.hidden = true;
    this.timeline = el("ol", { class: "timeline" });
    this.log = new LogView();
    this.metadata = el("dl", { class: "metadata" });
    // Nothing of a job that is not known, or does not exist.
    this.known = el(
      "div",
      { class: "sheet-part", hidden: true },
      this.progressPart,
      el("dl", { class: "tiles" }, ...Object.values(this.tiles).map((one) => one.node)),
      this.errorPart,
      this.lossPart,
      this.pacePart,
      part(t("timeline"), this.timeline),
      part(t("log"), this.log.node),
      part(t("metadata"), this.metadata),
    );
    const id = this.id;
    this.shown = dialog(
      id,
      {
        className: "sheet",
        closeText: t("close"),
        onClose: () => {
          if (this.id !== id) return;
          clearTimeout(this.progressTimer);
          clearTimeout(this.logTimer);
          this.id = null;
          this.onClosed();
        },
      },
      el(
        "div",
        { class: "sheet-body" },
        this.chip,
        this.identity,
        this.actions,
        this.waiting,
        this.problem,
        this.known,
      ),
    );
  }

  async loadJob() {
    const id = this.id;
    try {
      const found = await get(jobPath(id));
      if (this.id !== id) return;
      show(this.problem, false);
      this.showJob(found.job);
      this.showTimeline(found.transitions);
      this.onJob(found.job);
      this.begin();
    } catch (error) {
      if (this.id === id) this.say(error);
    }
  }

  say(error) {
    const again =
      error.status === 404
        ? { text: t("close"), on: { click: () => this.close() } }
        : { text: t("tryAgain"), on: { click: () => this.loadJob() } };
    this.problem.replaceChildren(
      el("p", {}, data(error.status === 404 ? t("error.noJob") : reasonOf(error))),
      el("button", { type: "button", ...again }),
    );
    show(this.problem, true);
    show(this.waiting, false);
  }

  showJob(job) {
    const before = this.job;
    this.job = job;
    show(this.waiting, false);
    show(this.known, true);
    setText(this.shown.heading, nameOf(job));
    if (!this.chip.firstChild) this.chip.append(statusChip(job));
    updateChip(this.chip.firstChild, job);
    setText(this.identity, `${providerName(job.provider)} · ${job.job_id}`);
    setText(this.tiles.hardware.value, job.hardware_type ?? "–");
    show(this.progressPart, job.status === "running");
    show(this.errorPart, Boolean(job.error_message));
    setText(this.error, job.error_message ?? "");
    this.showActions();
    this.showMetadata();
    this.tick();
    if (before && isActive(before) && !isActive(job)) this.finish();
  }

  /** The end was seen: the last figures and the rest of the log are read once more. */
  finish() {
    clearTimeout(this.progressTimer);
    clearTimeout(this.logTimer);
    this.progressTimer = setTimeout(() => this.loadProgress(), 1500);
    this.logTimer = setTimeout(() => this.loadLog(), 1500);
  }

  showActions() {
    const { job } = this;
    const id = job.metadata?.prediction_id;
    const isSound = typeof id === "string" && /^[A-Za-z0-9_-]+$/.test(id) && job.provider === "replicate";
    const kinds = [job.status, Boolean(job.metadata?.lost), this.isCancelling, job.output_url, isSound].join();
    if (kinds === this.actionKinds && this.actions.childElementCount) return;
    this.actionKinds = kinds;
    const mayDelete = !isActive(job) || job.metadata?.lost || this.isCancelling;
    this.actions.replaceChildren(
      ...[
        isActive(job) &&
          el("button", {
            type: "button",
            class: "danger",
            text: t("cancel"),
            disabled: this.isCancelling === true,
            on: { click: () => this.ask("cancel") },
          }),
        mayDelete &&
          el("button", {
            type: "button",
            class: "danger quiet",
            text: t("delete"),
            on: { click: () => this.ask("delete") },
          }),
        isSound &&
          link(`https://replicate.com/p/${id}`, t("openAt", { provider: "Replicate" }), { class: "button quiet" }),
        job.output_url &&
          safeAddress(job.output_url) &&
          link(job.output_url, t("openOutput"), { class: "button quiet" }),
      ].filter(Boolean),
    );
  }

  ask(act) {
    const yes = el("button", { type: "button", class: "danger", text: t(`${act}.yes`) });
    const no = el("button", { type: "button", text: t(`${act}.no`) });
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const asked = dialog(
      t(`${act}.title`),
      { className: "small", closeText: t("close") },
      el("p", { class: "strong" }, data(nameOf(this.job))),
      el("p", { text: t(`${act}.text`) }),
      problem,
      el("div", { class: "buttons" }, no, yes),
    );
    no.addEventListener("click", () => asked.close());
    no.focus();
    yes.addEventListener("click", async () => {
      yes.disabled = true;
      try {
        await (act === "cancel" ? this.cancel() : this.delete());
        asked.close();
      } catch (error) {
        problem.textContent = clean(reasonOf(error));
        problem.hidden = false;
        yes.disabled = false;
      }
    });
  }

  async cancel() {
    const id = this.id;
    const answer = await post(jobPath(id, "/cancel"));
    this.toast(
      answer.status === "cancelled"
        ? t("cancel.done")
        : isActive(answer)
          ? t("cancel.asked")
          : t("cancel.late", { status: t(`status.${answer.status}`) }),
      "good",
    );
    if (this.id !== id) return;
    this.isCancelling = isActive(answer);
    await this.loadJob();
  }

  async delete() {
    const { id } = this;
    // The event of this deletion may come before its answer.
    this.deleting = id;
    try {
      await remove(jobPath(id));
    } catch (error) {
      this.deleting = null;
      throw error;
    }
    this.toast(t("delete.done"), "good");
    this.onDeleted(id);
    if (this.id === id) this.close();
  }

  showTimeline(transitions) {
    const steps = [{ status: null, at: this.job.created_at }, ...transitions];
    this.timeline.replaceChildren(
      ...steps.map((step, index) => {
        const before = index ? (Date.parse(step.at) - Date.parse(steps[index - 1].at)) / 1000 : 0;
        return el(
          "li",
          { "data-status": step.status ?? "created" },
          el("span", { class: "dot" }),
          el("b", { text: step.status ? t(`status.${step.status}`) : t("created") }),
          el("time", { datetime: step.at, title: exact(step.at), text: clock(step.at) }),
          before >= 1 ? el("span", { class: "sub", text: t("after", { time: duration(before) }) }) : null,
        );
      }),
    );
  }

  /** What the clock changes; called once a second by the page. */
  tick() {
    if (!this.isOpen || !this.job) return;
    setText(this.tiles.duration.value, duration(secondsOf(this.job)));
    setText(this.tiles.cost.name, t(this.job.status === "running" ? "tile.costSoFar" : "tile.cost"));
    setText(this.tiles.cost.value, money(costOf(this.job)));
  }

  async loadProgress() {
    const id = this.id;
    clearTimeout(this.progressTimer);
    if (document.hidden) {
      this.progressTimer = setTimeout(() => this.loadProgress(), PROGRESS_EVERY_MS);
      return;
    }
    let wait = PROGRESS_EVERY_MS;
    try {
      const found = await get(jobPath(id, "/progress"));
      if (this.id !== id) return;
      this.showProgress(found);
      wait = found.updated_at ? PROGRESS_EVERY_MS : (FIRST_PROGRESS_MS[this.looks] ?? PROGRESS_EVERY_MS);
      this.looks += 1;
    } catch {
      // The list says when the service cannot be reached; the next look tries again.
    }
    if (this.id === id && this.job.status === "running") {
      this.progressTimer = setTimeout(() => this.loadProgress(), wait);
    }
  }

  showProgress(found) {
    const [stage, value] = this.stage.children;
    setText(stage, found.stage ? t(`stage.${found.stage}`) : t("stage.unknown"));
    setText(value, isNumber(found.progress) ? percent(found.progress) : "");
    updateBar(this.progress, found.progress, t("progressOf", { name: nameOf(this.job) }));
    const of = (done, all) =>
      isNumber(done) ? (isNumber(all) ? `${number(done)} / ${number(all)}` : number(done)) : "–";
    setText(this.tiles.step.value, of(found.step, found.total_steps));
    setText(this.tiles.epoch.value, of(found.epoch, found.total_epochs));
    setText(this.tiles.loss.value, figure(found.loss));
    setText(this.tiles.rate.value, isNumber(found.learning_rate) ? found.learning_rate.toExponential(2) : "–");
    setText(this.tiles.pace.value, isNumber(found.steps_per_second) ? pace(found.steps_per_second) : "–");
    setText(this.tiles.left.value, this.job.status === "running" ? duration(found.eta_seconds) : "–");
    this.showCharts(found.history.filter((point) => isNumber(point.step) && isNumber(point.loss)));
  }

  showCharts(history) {
    show(this.lossPart, history.length > 1);
    if (history.length > 1) {
      const [first, last] = [history[0], history[history.length - 1]];
      this.lossChart.set({
        label: t("chart.loss", {
          from: figure(first.loss),
          first: number(first.step),
          to: figure(last.loss),
          last: number(last.step),
        }),
        points: history.map((point) => ({ x: point.step, y: point.loss })),
        formatX: (value) => number(value),
        formatY: axisFigure,
        tell: (point) => t("chart.point", { step: number(point.x), loss: figure(point.y) }),
      });
    }
    const speeds = pacePoints(history);
    show(this.pacePart, speeds.length > 1);
    if (speeds.length > 1) {
      this.paceChart.set({
        label: t("chart.pace", { pace: pace(speeds[speeds.length - 1].y) }),
        points: speeds,
        formatX: (value) => number(value),
        formatY: axisFigure,
        fromZero: true,
        tell: (point) => t("chart.pacePoint", { step: number(point.x), pace: pace(point.y) }),
      });
    }
  }

  async loadLog() {
    const id = this.id;
    clearTimeout(this.logTimer);
    try {
      if (!document.hidden) {
        const found = await get(jobPath(id, `/logs${query({ after: this.next || "" })}`));
        if (this.id !== id) return;
        const isMore = found.next > this.next && this.next > 0;
        if (found.logs) this.log.add(found.logs);
        this.next = found.next;
        if (!this.log.text) {
          setText(this.log.state, t(isActive(this.job) ? "log.notYet" : this.logMayCome() ? "log.soon" : "log.none"));
        }
        if (!this.log.isBound) this.bindSave();
        if (isMore && found.logs.length > 1_000_000) return void this.loadLog();
      }
    } catch (error) {
      if (this.id === id) setText(this.log.state, reasonOf(error));
    }
    if (this.id !== id) return;
    if (isActive(this.job)) this.logTimer = setTimeout(() => this.loadLog(), LOG_EVERY_MS);
    else if (this.logMayCome()) this.logTimer = setTimeout(() => this.loadLog(), FINAL_LOG_EVERY_MS);
  }

  /** The log of an ended job is fetched in the background, while the provider keeps it. */
  logMayCome() {
    return !this.log.text && Date.now() - Date.parse(this.job.completed_at) < FINAL_LOG_WITHIN_MS;
  }

  bindSave() {
    this.log.isBound = true;
    const name = `${this.id}.log`;
    this.log.save.addEventListener("click", () => {
      const anchor = document.createElement("a");
      anchor.href = URL.createObjectURL(new Blob([this.log.text], { type: "text/plain" }));
      anchor.download = name;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
    });
  }

  showMetadata() {
    const { job } = this;
    const rows = [];
    const add = (name, value, depth) => {
      if (value === null || value === undefined || value === "" || depth > DEEP) return;
      if (typeof value === "object") {
        for (const [key, inner] of Object.entries(value).slice(0, 100)) {
          add(name ? `${name}.${key}` : key, inner, depth + 1);
        }
      } else rows.push([name, value]);
    };
    add(
      "",
      { job_id: job.job_id, user_id: job.user_id, job_type: job.job_type, output_url: job.output_url, ...job.metadata },
      0,
    );
    const text = JSON.stringify(rows);
    if (text === this.metadataText) return;
    this.metadataText = text;
    this.metadata.replaceChildren(
      ...rows.flatMap(([name, value]) => [
        el("dt", {}, data(name)),
        el("dd", {}, typeof value === "string" ? link(value, value) : data(String(value))),
      ]),
    );
  }

  /** Events of this job: its new state at once, what else changed by one look. */
  take(events) {
    if (!this.isOpen) return;
    const mine = events.filter((event) => event.job_id === this.id);
    if (!mine.length) return;
    if (this.deleting === this.id) return;
    if (mine.some((event) => event.type === "job_deleted")) {
      this.toast(t("delete.elsewhere"), "bad");
      this.close();
      return;
    }
    clearTimeout(this.jobTimer);
    this.jobTimer = setTimeout(async () => {
      const wasRunning = this.job?.status === "running";
      await this.loadJob();
      if (this.isOpen && this.job?.status === "running" && !wasRunning) {
        this.loadProgress();
        this.loadLog();
      }
    }, 200);
  }
}

function pace(perSecond) {
  return perSecond >= 1
    ? t("pace.perSecond", { n: number(perSecond, 2) })
    : t("pace.perStep", { n: number(1 / perSecond, 2) });
}

const axisFigure = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential() : number(value));

/** Steps a second over stretches long enough to be steady: logs tell whole seconds only. */
function pacePoints(history) {
  const timed = history.filter((point) => isNumber(point.t));
  if (timed.length < 3) return [];
  const stretch = Math.max(PACE_SECONDS, (timed[timed.length - 1].t - timed[0].t) / PACE_POINTS);
  const found = [];
  let [before] = timed;
  for (const now of timed) {
    if (now.t < before.t || now.step < before.step) before = now;
    if (now.t - before.t < stretch) continue;
    found.push({ x: now.step, y: (now.step - before.step) / (now.t - before.t) });
    before = now;
  }
  return found;
}
