// One job in full: figures, loss and pace, timeline, error, log with follow, metadata, cancel and delete.

/** @import { Job, JobDetails, JobEvent, LossPoint, Progress, Toast, Transition } from "./types.d.ts" */

import { ApiError, cancelJob, deleteJob, readJob, readLog, readProgress } from "./api.js";
import { LineChart } from "./charts.js";
import { clean, data, dialog, el, link, safeAddress, setText, show } from "./dom.js";
import { clock, duration, exact, figure, isNumber, longDuration, money, number, percent, reasonOf, t } from "./i18n.js";
import { costOf, isActive, nameOf, ProgressBar, StatusChip, secondsOf } from "./job.js";
import { addressAtProvider, providerName, providerOf } from "./providers.js";

const LOG_EVERY_MS = 4000;
const FINAL_LOG_EVERY_MS = 15_000;
const PROGRESS_EVERY_MS = 5000;
// Another reader may be asking the provider just now; what it finds is there a moment later.
const FIRST_PROGRESS_MS = [600, 1200, 2400];
const LAST_LOOK_MS = 1500;
const BLOCK_LINES = 200;
const MOST_LINES = 6000;
const LARGE_PIECE = 1_000_000;
const PACE_POINTS = 60;
const PACE_SECONDS = 20;
const DEEP = 4;

/**
 * @typedef {object} Hooks
 * @property {Toast} toast
 * @property {(job: Job) => void} onJob with every newer version of the job
 * @property {(id: string) => void} onDeleted
 * @property {() => void} onClosed
 */

/** @param {"duration" | "left" | "cost" | "hardware" | "step" | "epoch" | "loss" | "rate" | "pace"} key */
function tile(key) {
  const name = el("dt", { text: t(`tile.${key}`) });
  const value = el("dd", { text: "–" });
  return { node: el("div", { class: "tile" }, name, value), name, value };
}

/**
 * @param {string} title
 * @param {Node[]} children
 */
function part(title, ...children) {
  return el("section", { class: "part" }, el("h3", { text: title }), ...children);
}

/** The log as blocks of lines: only the newest stay in the page, the whole can be saved. */
class LogView {
  /** @param {string} fileName what it is saved as */
  constructor(fileName) {
    this.box = el("pre", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": t("log") });
    this.follow = el("input", { type: "checkbox", checked: true });
    this.state = el("span", { class: "sub", text: t("log.loading") });
    this.save = el("button", {
      type: "button",
      class: "quiet",
      text: t("log.save"),
      hidden: true,
      on: { click: () => this.saveAs(fileName) },
    });
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
    this.isCut = false;
    this.tail = el("span", { class: "block" });
    this.tailLines = BLOCK_LINES;
    this.top = 0;
    // Blocks get their real height when they come into sight; the end moves with them.
    this.sizes = new ResizeObserver(() => this.scroll());
    this.follow.addEventListener("change", () => this.scroll());
    this.box.addEventListener("scroll", () => this.noteScroll(), { passive: true });
  }

  /** Only a reader goes up; what the page itself does ends at the end. */
  noteScroll() {
    const isAtEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
    if (!isAtEnd && this.box.scrollTop < this.top) this.follow.checked = false;
    this.top = this.box.scrollTop;
  }

  /** @param {string} text */
  add(text) {
    this.text += text;
    const lines = text.split("\n");
    for (let start = 0; start < lines.length; start += BLOCK_LINES) {
      const end = start + BLOCK_LINES;
      if (this.tailLines >= BLOCK_LINES) this.addBlock();
      this.tail.append(clean(lines.slice(start, end).join("\n") + (end < lines.length ? "\n" : "")));
      this.tailLines += Math.min(BLOCK_LINES, lines.length - start);
      this.lines += Math.min(BLOCK_LINES, lines.length - start);
    }
    while (this.lines > MOST_LINES && this.box.childElementCount > 2) this.dropBlock();
    setText(this.state, this.isCut ? t("log.cut", { lines: number(MOST_LINES) }) : "");
    show(this.save, this.text.length > 0);
    this.scroll();
  }

  addBlock() {
    this.tail = el("span", { class: "block" });
    this.tailLines = 0;
    this.box.append(this.tail);
    this.sizes.observe(this.tail);
  }

  /** The oldest goes. */
  dropBlock() {
    const first = this.box.firstElementChild;
    if (!first) return;
    this.sizes.unobserve(first);
    first.remove();
    this.lines -= BLOCK_LINES;
    this.isCut = true;
  }

  scroll() {
    if (!this.follow.checked) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.top = this.box.scrollTop;
  }

  /** @param {string} name */
  saveAs(name) {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob([this.text], { type: "text/plain" }));
    anchor.download = name;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
  }
}

/** The dialog of one job, from its opening to its end. */
class Sheet {
  /**
   * @param {string} id
   * @param {Hooks} hooks
   */
  constructor(id, hooks) {
    this.id = id;
    this.hooks = hooks;
    /** @type {Job | null} */
    this.job = null;
    this.isClosed = false;
    this.hasBegun = false;
    this.isCancelling = false;
    this.isDeleting = false;
    this.looks = 0;
    this.next = 0;
    this.jobTimer = 0;
    this.progressTimer = 0;
    this.logTimer = 0;
    this.actionKinds = "";
    this.metadataText = "";
    /** @type {StatusChip | null} */
    this.chip = null;
    this.chipPlace = el("span", { class: "chip-place" });
    this.identity = el("p", { class: "sub identity" });
    this.actions = el("div", { class: "buttons start" });
    this.problem = el("div", { class: "problem", role: "alert", hidden: true });
    this.waiting = el("p", { class: "sub", role: "status", text: t("loading") });
    this.progress = new ProgressBar();
    this.stage = el("span", { class: "stage" });
    this.percent = el("span", { class: "figure" });
    this.progressPart = el(
      "div",
      { class: "running wide", hidden: true },
      el("p", { class: "stage-line" }, this.stage, this.percent),
      this.progress.node,
    );
    this.tiles = {
      duration: tile("duration"),
      left: tile("left"),
      cost: tile("cost"),
      hardware: tile("hardware"),
      step: tile("step"),
      epoch: tile("epoch"),
      loss: tile("loss"),
      rate: tile("rate"),
      pace: tile("pace"),
    };
    this.error = el("pre", { class: "error-text", tabindex: 0 });
    this.errorPart = part(t("errorTitle"), this.error);
    this.lossChart = new LineChart(190);
    this.paceChart = new LineChart(120);
    this.lossPart = part(t("chart.lossTitle"), this.lossChart.node);
    this.pacePart = part(t("chart.paceTitle"), this.paceChart.node);
    for (const hidden of [this.errorPart, this.lossPart, this.pacePart]) hidden.hidden = true;
    this.timeline = el("ol", { class: "timeline" });
    this.log = new LogView(`${id}.log`);
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
    this.shown = dialog(
      id,
      { className: "sheet", closeText: t("close"), onClose: () => this.hooks.onClosed() },
      el(
        "div",
        { class: "sheet-body" },
        this.chipPlace,
        this.identity,
        this.actions,
        this.waiting,
        this.problem,
        this.known,
      ),
    );
  }

  /** @param {Job | undefined} known what the list knows of it */
  async start(known) {
    if (known) this.showJob(known);
    await this.loadJob();
    if (this.job) this.begin();
  }

  begin() {
    if (this.hasBegun || this.isClosed) return;
    this.hasBegun = true;
    this.loadProgress();
    this.loadLog();
  }

  close() {
    this.shown.close();
  }

  /** Whoever still waits for an answer finds out that nobody looks any more. */
  end() {
    this.isClosed = true;
    clearTimeout(this.jobTimer);
    clearTimeout(this.progressTimer);
    clearTimeout(this.logTimer);
  }

  async loadJob() {
    try {
      const found = await readJob(this.id);
      if (this.isClosed) return;
      show(this.problem, false);
      this.showJob(found.job);
      this.showTimeline(found);
      this.hooks.onJob(found.job);
      this.begin();
    } catch (error) {
      if (!this.isClosed) this.say(error);
    }
  }

  /** @param {unknown} error */
  say(error) {
    const isGone = error instanceof ApiError && error.status === 404;
    const act = isGone ? () => this.close() : () => this.loadJob();
    this.problem.replaceChildren(
      el("p", {}, data(isGone ? t("error.noJob") : reasonOf(error))),
      el("button", { type: "button", text: t(isGone ? "close" : "tryAgain"), on: { click: act } }),
    );
    show(this.problem, true);
    show(this.waiting, false);
  }

  /** @param {Job} job */
  showJob(job) {
    const before = this.job;
    this.job = job;
    show(this.waiting, false);
    show(this.known, true);
    setText(this.shown.heading, nameOf(job));
    if (this.chip) this.chip.update(job);
    else {
      this.chip = new StatusChip(job);
      this.chipPlace.append(this.chip.node);
    }
    setText(this.identity, `${providerName(job.provider)} · ${job.job_id}`);
    setText(this.tiles.hardware.value, job.hardware_type);
    show(this.progressPart, job.status === "running");
    show(this.errorPart, Boolean(job.error_message));
    setText(this.error, job.error_message ?? "");
    this.showActions(job);
    this.showMetadata(job);
    this.tick();
    if (before && isActive(before.status) && !isActive(job.status)) this.finish();
  }

  /** The end was seen: the last figures and the rest of the log are read once more. */
  finish() {
    clearTimeout(this.progressTimer);
    clearTimeout(this.logTimer);
    this.progressTimer = setTimeout(() => this.loadProgress(), LAST_LOOK_MS);
    this.logTimer = setTimeout(() => this.loadLog(), LAST_LOOK_MS);
  }

  /** @param {Job} job */
  showActions(job) {
    const address = addressAtProvider(job);
    const kinds = [job.status, Boolean(job.metadata.lost), this.isCancelling, job.output_url, address].join();
    if (kinds === this.actionKinds && this.actions.childElementCount) return;
    this.actionKinds = kinds;
    const cancel = el("button", {
      type: "button",
      class: "danger",
      text: t("cancel"),
      disabled: this.isCancelling,
      on: { click: () => this.ask("cancel") },
    });
    const remove = el("button", {
      type: "button",
      class: "danger quiet",
      text: t("delete"),
      on: { click: () => this.ask("delete") },
    });
    const nodes = [];
    if (isActive(job.status)) nodes.push(cancel);
    if (!isActive(job.status) || job.metadata.lost || this.isCancelling) nodes.push(remove);
    if (address)
      nodes.push(link(address, t("openAt", { provider: providerName(job.provider) }), { class: "button quiet" }));
    if (safeAddress(job.output_url)) nodes.push(link(job.output_url, t("openOutput"), { class: "button quiet" }));
    this.actions.replaceChildren(...nodes);
  }

  /** @param {"cancel" | "delete"} act */
  ask(act) {
    const yes = el("button", { type: "button", class: "danger", text: t(`${act}.yes`) });
    const no = el("button", { type: "button", text: t(`${act}.no`) });
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const asked = dialog(
      t(`${act}.title`),
      { className: "small", closeText: t("close") },
      el("p", { class: "strong" }, data(this.job ? nameOf(this.job) : this.id)),
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
        setText(problem, reasonOf(error));
        problem.hidden = false;
        yes.disabled = false;
      }
    });
  }

  async cancel() {
    const { status } = await cancelJob(this.id);
    if (status === "cancelled") this.hooks.toast(t("cancel.done"));
    else if (isActive(status)) this.hooks.toast(t("cancel.asked"));
    else this.hooks.toast(t("cancel.late", { status: t(`status.${status}`) }));
    if (this.isClosed) return;
    this.isCancelling = isActive(status);
    await this.loadJob();
  }

  async delete() {
    // The event of this deletion may come before its answer.
    this.isDeleting = true;
    try {
      await deleteJob(this.id);
    } catch (error) {
      this.isDeleting = false;
      throw error;
    }
    this.hooks.toast(t("delete.done"));
    this.hooks.onDeleted(this.id);
    this.close();
  }

  /** @param {JobDetails} found */
  showTimeline({ job, transitions }) {
    let before = job.created_at;
    const steps = transitions.map((step) => {
      const seconds = (Date.parse(step.at) - Date.parse(before)) / 1000;
      before = step.at;
      return timelineStep(step, seconds);
    });
    this.timeline.replaceChildren(timelineStep({ status: null, at: job.created_at }, 0), ...steps);
  }

  /** What the clock changes; called once a second by the page. */
  tick() {
    const { job } = this;
    if (!job) return;
    setText(this.tiles.duration.value, duration(secondsOf(job)));
    const ended = job.metadata.cost_estimated ? "tile.costEstimated" : "tile.cost";
    setText(this.tiles.cost.name, t(job.status === "running" ? "tile.costSoFar" : ended));
    setText(this.tiles.cost.value, money(costOf(job)));
  }

  async loadProgress() {
    clearTimeout(this.progressTimer);
    if (document.hidden) {
      this.progressTimer = setTimeout(() => this.loadProgress(), PROGRESS_EVERY_MS);
      return;
    }
    let wait = PROGRESS_EVERY_MS;
    try {
      const found = await readProgress(this.id);
      if (this.isClosed) return;
      this.showProgress(found);
      if (!found.updated_at) wait = FIRST_PROGRESS_MS[this.looks] ?? PROGRESS_EVERY_MS;
      this.looks += 1;
    } catch {
      // The list says when the service cannot be reached; the next look tries again.
    }
    if (!this.isClosed && this.job?.status === "running") {
      this.progressTimer = setTimeout(() => this.loadProgress(), wait);
    }
  }

  /** @param {Progress} found */
  showProgress(found) {
    const { tiles, job } = this;
    if (!job) return;
    setText(this.stage, t(`stage.${found.stage ?? "unknown"}`));
    setText(this.percent, isNumber(found.progress) ? percent(found.progress) : "");
    this.progress.update(found.progress, t("progressOf", { name: nameOf(job) }));
    setText(tiles.step.value, outOf(found.step, found.total_steps));
    setText(tiles.epoch.value, outOf(found.epoch, found.total_epochs));
    setText(tiles.loss.value, figure(found.loss));
    setText(tiles.rate.value, found.learning_rate?.toExponential(2) ?? "–");
    setText(tiles.pace.value, isNumber(found.steps_per_second) ? pace(found.steps_per_second) : "–");
    setText(tiles.left.value, job.status === "running" ? duration(found.eta_seconds) : "–");
    this.showLoss(found.history);
    this.showPace(pacePoints(found.history));
  }

  /** @param {LossPoint[]} history */
  showLoss(history) {
    const [first, last] = [history[0], history.at(-1)];
    show(this.lossPart, history.length > 1);
    if (history.length < 2 || !first || !last) return;
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

  /** @param {{ x: number, y: number }[]} speeds steps a second by step */
  showPace(speeds) {
    const last = speeds.at(-1);
    show(this.pacePart, speeds.length > 1);
    if (speeds.length < 2 || !last) return;
    this.paceChart.set({
      label: t("chart.pace", { pace: pace(last.y) }),
      points: speeds,
      formatX: (value) => number(value),
      formatY: axisFigure,
      fromZero: true,
      tell: (point) => t("chart.pacePoint", { step: number(point.x), pace: pace(point.y) }),
    });
  }

  async loadLog() {
    clearTimeout(this.logTimer);
    let isMore = false;
    try {
      if (!document.hidden) isMore = await this.readMoreLog();
    } catch (error) {
      setText(this.log.state, reasonOf(error));
    }
    if (this.isClosed || !this.job) return;
    if (isMore) this.logTimer = setTimeout(() => this.loadLog());
    else if (isActive(this.job.status)) this.logTimer = setTimeout(() => this.loadLog(), LOG_EVERY_MS);
    else if (this.logMayCome(this.job)) this.logTimer = setTimeout(() => this.loadLog(), FINAL_LOG_EVERY_MS);
  }

  /** Whether there is more of it at once. */
  async readMoreLog() {
    const found = await readLog(this.id, this.next);
    const { job } = this;
    if (this.isClosed || !job) return false;
    const isMore = this.next > 0 && found.next > this.next && found.logs.length > LARGE_PIECE;
    if (found.logs) this.log.add(found.logs);
    this.next = found.next;
    if (!this.log.text) setText(this.log.state, isActive(job.status) ? t("log.notYet") : this.lackOfLog(job));
    return isMore;
  }

  /**
   * The log of an ended job is fetched in the background, while the provider keeps it.
   *
   * @param {Job} job
   */
  logMayCome({ completed_at, provider }) {
    const kept = providerOf(provider)?.log_kept_seconds;
    if (this.log.text || completed_at === null || kept === undefined) return false;
    return kept === null || Date.now() - Date.parse(completed_at) < kept * 1000;
  }

  /**
   * Why an ended job has no log.
   *
   * @param {Job} job
   */
  lackOfLog(job) {
    const kept = providerOf(job.provider)?.log_kept_seconds;
    const mayCome = this.logMayCome(job);
    if (!isNumber(kept)) return t(mayCome ? "log.soon" : "log.none");
    return t(mayCome ? "log.soonUntil" : "log.noneAfter", { time: longDuration(kept) });
  }

  /** @param {Job} job */
  showMetadata({ job_id, user_id, job_type, output_url, metadata }) {
    const rows = leaves({ job_id, user_id, job_type, output_url, ...metadata });
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

  /**
   * Events of this job: its new state by one look.
   *
   * @param {JobEvent[]} events
   */
  take(events) {
    const mine = events.filter((event) => event.job_id === this.id);
    if (!mine.length || this.isDeleting) return;
    if (mine.some((event) => event.type === "job_deleted")) {
      this.hooks.toast(t("delete.elsewhere"), "bad");
      this.close();
      return;
    }
    clearTimeout(this.jobTimer);
    this.jobTimer = setTimeout(() => this.lookAgain(), 200);
  }

  async lookAgain() {
    const wasRunning = this.job?.status === "running";
    await this.loadJob();
    if (!this.isClosed && this.job?.status === "running" && !wasRunning) {
      this.loadProgress();
      this.loadLog();
    }
  }
}

/** Which job is open, if any. */
export class Details {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {Sheet | null} */
    this.sheet = null;
  }

  get isOpen() {
    return this.sheet !== null;
  }

  /**
   * @param {string} id
   * @param {Job | undefined} known what the list knows of it
   */
  async open(id, known) {
    if (this.sheet?.id === id) return;
    const before = this.sheet;
    before?.end();
    before?.close();
    const sheet = new Sheet(id, { ...this.hooks, onClosed: () => this.noteClosed(sheet) });
    this.sheet = sheet;
    await sheet.start(known);
  }

  /** @param {Sheet} sheet */
  noteClosed(sheet) {
    sheet.end();
    if (this.sheet !== sheet) return;
    this.sheet = null;
    this.hooks.onClosed();
  }

  close() {
    this.sheet?.close();
  }

  tick() {
    this.sheet?.tick();
  }

  /** After what is known of the providers has changed. */
  renew() {
    if (this.sheet?.job) this.sheet.showJob(this.sheet.job);
  }

  loadJob() {
    return this.sheet?.loadJob();
  }

  /** @param {JobEvent[]} events */
  take(events) {
    this.sheet?.take(events);
  }
}

/**
 * @param {Transition | { status: null, at: string }} step status null: the job was created
 * @param {number} seconds since the step before
 */
function timelineStep({ status, at }, seconds) {
  return el(
    "li",
    { "data-status": status ?? "created" },
    el("span", { class: "dot" }),
    el("b", { text: status ? t(`status.${status}`) : t("created") }),
    el("time", { datetime: at, title: exact(at), text: clock(at) }),
    seconds >= 1 ? el("span", { class: "sub", text: t("after", { time: duration(seconds) }) }) : null,
  );
}

/**
 * What stands in an object, by its path; empty values are left out.
 *
 * @param {object} value
 * @returns {[string, unknown][]}
 */
function leaves(value, path = "", depth = 1) {
  if (depth > DEEP) return [];
  return Object.entries(value)
    .slice(0, 100)
    .flatMap(([key, inner]) => {
      const name = path ? `${path}.${key}` : key;
      if (inner === null || inner === undefined || inner === "") return [];
      return typeof inner === "object" ? leaves(inner, name, depth + 1) : [[name, inner]];
    });
}

/**
 * @param {number | null} done
 * @param {number | null} all
 */
function outOf(done, all) {
  if (done === null) return "–";
  return all === null ? number(done) : `${number(done)} / ${number(all)}`;
}

/** @param {number} perSecond */
function pace(perSecond) {
  return perSecond >= 1
    ? t("pace.perSecond", { n: number(perSecond, 2) })
    : t("pace.perStep", { n: number(1 / perSecond, 2) });
}

/** @param {number} value */
const axisFigure = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential() : number(value));

/**
 * Steps a second over stretches long enough to be steady: logs tell whole seconds only.
 *
 * @param {LossPoint[]} history
 */
function pacePoints(history) {
  const timed = history.flatMap(({ t: at, step }) => (at === null ? [] : [{ at, step }]));
  let before = timed[0];
  const last = timed.at(-1);
  if (timed.length < 3 || !before || !last) return [];
  const stretch = Math.max(PACE_SECONDS, (last.at - before.at) / PACE_POINTS);
  const found = [];
  for (const now of timed) {
    if (now.at < before.at || now.step < before.step) before = now;
    if (now.at - before.at < stretch) continue;
    found.push({ x: now.step, y: (now.step - before.step) / (now.at - before.at) });
    before = now;
  }
  return found;
}
