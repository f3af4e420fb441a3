// The list: active jobs on top, ended ones below, newest first. Rows are made once and then only changed where needed.

/** @import { BriefProgress, Job, JobEvent, JobPage, JobStatus, JobUpdates } from "./types.d.ts" */

import { listJobs, readJob } from "./api.js";
import { data, el, hasChildren, place, setAttribute, setChildren, setText, show } from "./dom.js";
import { ago, duration, exact, isNumber, money, number, percent, reasonOf, t } from "./i18n.js";
import { ACTIVE, costOf, ENDED, isActive, nameOf, ProgressBar, StatusChip, secondsOf } from "./job.js";
import { providerName } from "./providers.js";

const PAGE = 50;
const ACTIVE_PAGE = 200;
const PROGRESS_IDS = 50;
const SINGLE_LOOKS = 5;
// A search reads a part of the jobs a request and may find nothing in it: so many further ones follow by themselves.
const SEARCH_PAGE = 200;
const SEARCH_FURTHER = 7;
const LONG_NAME = 32;
const LONG_NOTE = 60;

/** @typedef {"active" | "ended"} SectionKey */

/** @typedef {{ q: string, status: JobStatus | "active" | "", provider: string }} Filter */

/**
 * Newest first.
 *
 * @param {Job} a
 * @param {Job} b
 */
function byAge(a, b) {
  if (a.created_at !== b.created_at) return a.created_at < b.created_at ? 1 : -1;
  return a.job_id < b.job_id ? 1 : -1;
}

/**
 * What is cut on the screen, to be read in a tooltip.
 *
 * @param {HTMLElement} node
 * @param {number} length
 */
function ifLonger(node, length) {
  const text = node.textContent ?? "";
  return text.length > length ? text : null;
}

class Row {
  /** @param {Job} job */
  constructor(job) {
    this.job = job;
    this.name = data("");
    this.chip = new StatusChip(job);
    this.subtitle = el("span", { class: "sub" });
    this.stage = el("span", { class: "stage" });
    this.percent = el("span", { class: "figure" });
    this.progress = new ProgressBar();
    this.log = data("", { class: "log-line" });
    this.running = el(
      "div",
      { class: "running" },
      el("div", { class: "stage-line" }, this.stage, this.percent),
      this.progress.node,
      this.log,
    );
    this.note = el("div", { class: "note" });
    this.timeLabel = el("span", { class: "unseen" });
    this.costLabel = el("span", { class: "unseen" });
    this.createdLabel = el("span", { class: "unseen" });
    this.time = el("span", { class: "figure" });
    this.timeNote = el("span", { class: "sub" });
    this.cost = el("span", { class: "figure" });
    this.costNote = el("span", { class: "sub" });
    this.created = el("time", { class: "when" });
    this.link = place(`job=${job.job_id}`, { class: "job-name" }, this.name);
    this.node = el(
      "li",
      { class: "job", "data-id": job.job_id },
      el("div", { class: "who" }, this.chip.node, el("div", { class: "names" }, this.link, this.subtitle)),
      el("div", { class: "what" }, this.running, this.note),
      el("div", { class: "cell" }, this.timeLabel, this.time, this.timeNote),
      el("div", { class: "cell" }, this.costLabel, this.cost, this.costNote),
      el("div", { class: "cell" }, this.createdLabel, this.created),
    );
    // What has a tooltip lies above the link that fills the row, and leads there all the same.
    this.node.addEventListener("click", (event) => {
      const isOnLink = event.target instanceof Element && event.target.closest("a");
      if (!isOnLink && getSelection()?.isCollapsed) this.link.click();
    });
    this.update(job, null);
  }

  /**
   * @param {Job} job
   * @param {BriefProgress | null | undefined} progress
   */
  update(job, progress) {
    this.job = job;
    const name = nameOf(job);
    setText(this.name, name);
    setAttribute(this.link, "title", name.length > LONG_NAME ? name : null);
    setText(this.timeLabel, `${t("caption.duration")}: `);
    setText(this.costLabel, `${t("caption.cost")}: `);
    setText(this.createdLabel, `${t("caption.created")}: `);
    this.chip.update(job);
    setText(
      this.subtitle,
      [job.job_id.slice(0, 10), job.hardware_type, providerName(job.provider)].filter(Boolean).join(" · "),
    );
    setAttribute(this.subtitle, "title", ifLonger(this.subtitle, LONG_NAME));
    setAttribute(this.node, "data-status", job.status);
    const runs = job.status === "running";
    show(this.running, runs);
    show(this.note, !runs);
    if (runs) this.updateProgress(progress);
    else setText(this.note, this.noteOf(job));
    setAttribute(this.note, "title", runs ? null : ifLonger(this.note, LONG_NOTE));
    setAttribute(this.created, "datetime", job.created_at);
    setAttribute(this.created, "title", t("createdAt", { at: exact(job.created_at) }));
    this.tick(progress);
  }

  /** @param {Job} job */
  noteOf({ status, metadata, error_message, output_url }) {
    if (metadata.lost) return t("note.lost");
    if (error_message) return error_message;
    if (isActive(status)) return status === "running" ? "" : t(`note.${status}`);
    return output_url ? t("note.output") : "";
  }

  /** @param {BriefProgress | null | undefined} progress */
  updateProgress(progress) {
    setText(this.stage, progress ? t(`stage.${progress.stage ?? "unknown"}`) : "");
    this.progress.node.classList.toggle("unread", !progress);
    setText(this.percent, isNumber(progress?.progress) ? percent(progress.progress) : "");
    this.progress.update(progress?.progress ?? null, t("progressOf", { name: nameOf(this.job) }));
    setText(this.log, progress?.last_log ?? "");
    setAttribute(this.log, "title", progress?.last_log || null);
  }

  /**
   * What changes by the clock alone.
   *
   * @param {BriefProgress | null | undefined} progress
   * @param {number} [now] milliseconds
   */
  tick(progress, now = Date.now()) {
    const job = this.job;
    const left = progress?.eta_seconds;
    const seconds = secondsOf(job, now);
    const cost = costOf(job, now);
    this.timeLabel.hidden = !isNumber(seconds);
    this.costLabel.hidden = !isNumber(cost);
    setText(this.time, isNumber(seconds) ? duration(seconds) : "");
    setText(this.timeNote, job.status === "running" && isNumber(left) ? t("left", { time: duration(left) }) : "");
    setText(this.cost, isNumber(cost) ? money(cost) : "");
    const note = job.status === "running" ? t("soFar") : job.metadata.cost_estimated ? t("estimated") : "";
    setText(this.costNote, isNumber(cost) ? note : "");
    setText(this.created, ago(job.created_at, now));
  }
}

class Section {
  /**
   * @param {SectionKey} key
   * @param {() => void} onMore
   */
  constructor(key, onMore) {
    this.key = key;
    /** @type {string | null} */
    this.cursor = null;
    this.name = el("span", {});
    this.count = el("span", { class: "count" });
    const captions = /** @type {const} */ ([key === "ended" ? "outcome" : "progress", "duration", "cost", "created"]);
    this.captions = captions.map((name, index) => ({
      name,
      node: el("span", { class: index ? "captions end" : "captions", "aria-hidden": "true" }),
    }));
    this.list = el("ul", { class: "rows" });
    this.more = el("button", { type: "button", class: "more", on: { click: onMore } });
    this.title = el(
      "h3",
      {},
      el("span", { class: "group-name" }, this.name, this.count),
      ...this.captions.map(({ node }) => node),
    );
    this.node = el("section", { class: `group ${key}`, hidden: true }, this.title, this.list, this.more);
  }

  /**
   * @param {number | null} total null: not known
   * @param {number} shown
   * @param {boolean} isSearch
   */
  say(total, shown, isSearch) {
    setText(this.name, t(`group.${this.key}`));
    for (const { name, node } of this.captions) setText(node, t(`caption.${name}`));
    setText(this.count, isNumber(total) ? number(total) : shown ? number(shown) : "");
    show(this.more, this.cursor !== null);
    setText(this.more, t(isSearch ? "searchOlder" : "showMore"));
  }
}

export class JobList {
  /**
   * @param {HTMLElement} root
   * @param {{ onUnread: () => void, explainEmpty: () => HTMLElement[] }} options `onUnread()` when running jobs have come
   *   to the screen; `explainEmpty()` gives what to show without any job.
   */
  constructor(root, { onUnread, explainEmpty }) {
    this.onUnread = onUnread;
    this.explainEmpty = explainEmpty;
    /** @type {Filter} */
    this.filter = { q: "", status: "", provider: "" };
    /** @type {Map<string, Job>} */
    this.jobs = new Map();
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    /** @type {Map<string, BriefProgress>} */
    this.progress = new Map();
    /** @type {Set<string>} */
    this.visible = new Set();
    /** @type {Set<string>} */
    this.unknown = new Set();
    /** @type {Record<SectionKey, number | null>} */
    this.totals = { active: null, ended: null };
    this.active = new Section("active", () => this.loadMore(this.active));
    this.ended = new Section("ended", () => this.loadMore(this.ended));
    this.message = el("div", { class: "message", hidden: true });
    this.messageText = "";
    this.problem = el("div", { class: "problem", role: "alert", hidden: true });
    this.moved = el("button", { type: "button", class: "moved", hidden: true, on: { click: () => this.putInOrder() } });
    this.root = root;
    root.append(this.problem, this.moved, this.message, this.active.node, this.ended.node);
    this.turn = 0;
    this.looking = 0;
    this.isLoaded = false;
    this.isSameFilter = false;
    this.hasMorePages = false;
    this.hasProblem = false;
    this.observer = new IntersectionObserver((entries) => this.noteVisible(entries), { rootMargin: "120px" });
    root.addEventListener("pointerleave", () => this.settle());
    root.addEventListener("focusout", () => this.settle());
    this.showSkeleton();
  }

  /** @param {IntersectionObserverEntry[]} entries */
  noteVisible(entries) {
    for (const entry of entries) {
      const id = entry.target.getAttribute("data-id") ?? "";
      if (entry.isIntersecting) this.visible.add(id);
      else this.visible.delete(id);
    }
    if (this.idsOnScreen().some((id) => !this.progress.has(id))) this.onUnread();
  }

  showSkeleton() {
    this.message.replaceChildren(
      ...Array.from({ length: 4 }, () => el("div", { class: "skeleton", "aria-hidden": "true" })),
    );
    this.message.setAttribute("aria-busy", "true");
    show(this.message, true);
  }

  /** @param {Section} section */
  statuses(section) {
    /** @type {JobStatus[]} */
    const all = section === this.active ? ACTIVE : ENDED;
    const wanted = this.filter.status;
    if (wanted === "" || (wanted === "active" && section === this.active)) return all;
    return all.filter((status) => status === wanted);
  }

  /**
   * @param {Section} section
   * @param {string | null} cursor
   * @param {{ sync_active?: "true" }} [extra]
   * @returns {Promise<JobPage>}
   */
  async page(section, cursor, extra = {}) {
    const status = this.statuses(section).join(",");
    if (!status) return { jobs: [], total: 0, next_cursor: null };
    const { turn } = this;
    const { q, provider } = this.filter;
    const limit = q ? SEARCH_PAGE : section === this.active ? ACTIVE_PAGE : PAGE;
    const found = await listJobs({ limit, status, q, provider, cursor, ...extra });
    for (let further = 0; further < SEARCH_FURTHER; further += 1) {
      if (!found.next_cursor || found.jobs.length >= PAGE || turn !== this.turn) break;
      const next = await listJobs({ limit, status, q, provider, cursor: found.next_cursor });
      found.jobs.push(...next.jobs);
      found.next_cursor = next.next_cursor;
    }
    return found;
  }

  /** Read the list anew; what is shown stays until the answer is there, also when there is none. */
  async load({ syncActive = false } = {}) {
    this.turn += 1;
    const { turn } = this;
    try {
      const [active, ended] = await Promise.all([
        this.page(this.active, null, syncActive ? { sync_active: "true" } : {}),
        this.page(this.ended, null),
      ]);
      if (turn === this.turn) this.show(active, ended);
    } catch (error) {
      if (turn === this.turn) this.say(error);
    }
  }

  /**
   * @param {JobPage} active
   * @param {JobPage} ended
   */
  show(active, ended) {
    const kept = this.jobs;
    this.jobs = new Map([...active.jobs, ...ended.jobs].map((job) => [job.job_id, job]));
    this.keepPagesBelow(kept, ended);
    this.totals = { active: active.total, ended: ended.total };
    this.active.cursor = active.next_cursor;
    if (!this.hasMorePages || !this.isSameFilter) this.ended.cursor = ended.next_cursor;
    const mayMove = !this.isSameFilter || !this.isBeingRead();
    this.isSameFilter = true;
    this.isLoaded = true;
    this.say(null);
    this.arrange(mayMove);
  }

  /**
   * A reload for the same filter keeps the further pages that were opened.
   *
   * @param {Map<string, Job>} kept
   * @param {JobPage} firstPage
   */
  keepPagesBelow(kept, firstPage) {
    if (!this.hasMorePages || !this.isSameFilter || firstPage.next_cursor === null) return;
    const last = firstPage.jobs.at(-1)?.created_at;
    for (const [id, job] of kept) {
      if (isActive(job.status) || this.jobs.has(id)) continue;
      if (last === undefined || job.created_at < last) this.jobs.set(id, job);
    }
  }

  /** @param {Section} section */
  async loadMore(section) {
    if (section.more.getAttribute("aria-disabled") === "true") return;
    const { turn } = this;
    const last = section.list.lastElementChild;
    section.more.setAttribute("aria-disabled", "true");
    try {
      const found = await this.page(section, section.cursor);
      if (turn !== this.turn) return;
      for (const job of found.jobs) this.jobs.set(job.job_id, job);
      section.cursor = found.next_cursor;
      if (section === this.ended) this.hasMorePages = true;
      const hadFocus = document.activeElement === section.more;
      this.arrange(true);
      const first = last?.nextElementSibling ?? section.list.firstElementChild;
      if (hadFocus) first?.querySelector("a")?.focus({ preventScroll: true });
    } catch (error) {
      this.say(error);
    } finally {
      section.more.removeAttribute("aria-disabled");
    }
  }

  /** @param {Partial<Filter>} filter */
  async setFilter(filter) {
    Object.assign(this.filter, filter);
    this.isSameFilter = false;
    this.hasMorePages = false;
    this.root.setAttribute("aria-busy", "true");
    await this.load();
    this.root.removeAttribute("aria-busy");
  }

  /**
   * Whether the job is of the status and the provider that are asked for.
   *
   * @param {Job} job
   */
  belongs(job) {
    const { status, provider } = this.filter;
    if (status === "active" ? !isActive(job.status) : status && job.status !== status) return false;
    return !provider || job.provider === provider;
  }

  /** @param {Job} job */
  fits(job) {
    if (!this.belongs(job)) return false;
    const text = this.filter.q.toLowerCase();
    const names = [job.job_id, job.config_name, job.metadata.run_name, job.metadata.model];
    return (
      !text ||
      names.some((name) =>
        String(name ?? "")
          .toLowerCase()
          .includes(text),
      )
    );
  }

  /**
   * Take in events: changes of known jobs at once, unknown jobs after one look at them.
   *
   * @param {JobEvent[]} events
   */
  take(events) {
    const areChanges = events.map((event) => this.takeOne(event));
    if (areChanges.includes(true)) this.arrange(!this.isBeingRead());
    if (this.unknown.size) {
      clearTimeout(this.looking);
      this.looking = setTimeout(() => this.lookAtUnknown(), 250);
    }
  }

  /**
   * @param {JobEvent} event
   * @returns {boolean} whether what is shown has changed
   */
  takeOne(event) {
    const known = this.jobs.get(event.job_id);
    if (event.type === "job_deleted" || event.status === "deleted") return this.forget(event.job_id);
    if (known) return this.merge(known, event.type === "cloud_job_update" ? event.updates : { status: event.status });
    if (event.type === "job_status_changed") this.unknown.add(event.job_id);
    return false;
  }

  /**
   * @param {string} id
   * @returns {boolean} whether it was known
   */
  forget(id) {
    const known = this.jobs.get(id);
    if (known) this.recount(known, -1);
    return this.jobs.delete(id);
  }

  /**
   * After this page has deleted it.
   *
   * @param {string} id
   */
  remove(id) {
    if (this.forget(id)) this.arrange(!this.isBeingRead());
  }

  /**
   * @param {Job} job
   * @param {JobUpdates} updates null: nothing new
   * @returns {boolean} whether anything has changed
   */
  merge(job, updates) {
    const given = Object.entries(updates).filter(([, value]) => value !== null && value !== undefined);
    /** @type {Job} */
    const changed = { ...job, ...Object.fromEntries(given) };
    changed.finished_at = changed.completed_at;
    changed.is_active = isActive(changed.status);
    changed.is_terminal = !changed.is_active;
    if (changed.is_terminal && changed.started_at && changed.completed_at) {
      changed.duration_seconds = (Date.parse(changed.completed_at) - Date.parse(changed.started_at)) / 1000;
    }
    if (JSON.stringify(changed) === JSON.stringify(job)) return false;
    this.recount(job, -1);
    this.recount(changed, 1);
    this.put(changed);
    return true;
  }

  /**
   * @param {Job} job
   * @param {1 | -1} step
   */
  recount(job, step) {
    if (!this.belongs(job)) return;
    const name = isActive(job.status) ? "active" : "ended";
    const total = this.totals[name];
    if (total !== null) this.totals[name] = Math.max(0, total + step);
  }

  /** @param {Job} job */
  put(job) {
    this.jobs.set(job.job_id, job);
    const row = this.rows.get(job.job_id);
    if (row && row.job.status !== job.status && this.isBeingRead()) {
      row.node.style.minHeight = `${row.node.offsetHeight}px`;
    }
    row?.update(job, this.progress.get(job.job_id));
    if (job.status === "running" && this.visible.has(job.job_id) && !this.progress.has(job.job_id)) this.onUnread();
  }

  async lookAtUnknown() {
    const ids = [...this.unknown];
    this.unknown.clear();
    if (ids.length > SINGLE_LOOKS) {
      await this.load();
      return;
    }
    for (const answer of await Promise.allSettled(ids.map((id) => readJob(id)))) {
      if (answer.status !== "fulfilled") continue;
      const { job } = answer.value;
      if (!this.fits(job)) continue;
      if (!this.jobs.has(job.job_id)) this.recount(job, 1);
      this.jobs.set(job.job_id, job);
    }
    this.arrange(!this.isBeingRead());
  }

  /** Whether a pointer or the focus is in the list, so that no row may move under it. */
  isBeingRead() {
    return (
      (matchMedia("(hover: hover)").matches && this.root.matches(":hover")) ||
      this.root.contains(document.activeElement)
    );
  }

  putInOrder() {
    this.arrange(true);
    if (!this.moved.hidden || document.activeElement !== document.body) return;
    const first = this.root.querySelector(".job-name");
    if (first instanceof HTMLElement) first.focus({ preventScroll: true });
  }

  settle() {
    setTimeout(() => {
      if (!this.moved.hidden && !this.isBeingRead()) this.putInOrder();
    }, 400);
  }

  /**
   * Bring the rows into their order.
   *
   * @param {boolean} mayMove false: rows stay in place, changed ones too, and a button says so
   */
  arrange(mayMove) {
    // Where no row stands yet, none can move away under the pointer.
    const isFree = mayMove || !this.isLoaded || this.rows.size === 0;
    const strangers = [...this.jobs.values()].filter((job) => !this.belongs(job));
    if (isFree) for (const job of strangers) this.jobs.delete(job.job_id);
    this.dropRows(isFree);
    const newest = [...this.jobs.values()].sort(byAge);
    let isMoved = !isFree && strangers.length > 0;
    for (const section of [this.active, this.ended]) {
      const wanted = newest.filter((job) => isActive(job.status) === (section === this.active));
      const nodes = wanted.map((job) => this.rowOf(job).node);
      if (isFree) setChildren(section.list, nodes);
      else isMoved ||= !hasChildren(section.list, nodes);
      const shown = section.list.childElementCount;
      section.say(this.totals[section.key], shown, this.filter.q !== "");
      show(section.node, shown > 0 || section.cursor !== null);
    }
    show(this.moved, isMoved);
    if (isMoved) setText(this.moved, t("listMoved"));
    this.sayEmpty();
  }

  /** @param {boolean} isFree whether rows may get lower */
  dropRows(isFree) {
    for (const [id, row] of this.rows) {
      if (isFree && row.node.style.minHeight) row.node.style.minHeight = "";
      if (this.jobs.has(id)) continue;
      this.observer.unobserve(row.node);
      row.node.remove();
      this.rows.delete(id);
      this.visible.delete(id);
      this.progress.delete(id);
    }
  }

  /**
   * The job's row, up to date; made anew where there is none.
   *
   * @param {Job} job
   */
  rowOf(job) {
    const known = this.rows.get(job.job_id);
    if (known) {
      if (known.job !== job) known.update(job, this.progress.get(job.job_id));
      return known;
    }
    const row = new Row(job);
    this.rows.set(job.job_id, row);
    this.observer.observe(row.node);
    return row;
  }

  sayEmpty() {
    if (!this.isLoaded) return;
    this.message.removeAttribute("aria-busy");
    show(this.message, this.jobs.size === 0);
    if (this.jobs.size) return;
    const isFiltered = Object.values(this.filter).some(Boolean);
    const nodes = isFiltered ? this.explainNoMatch() : this.explainEmpty();
    // Only where it says something else: a button in it keeps the focus.
    const text = nodes.map((node) => node.textContent).join("\n");
    if (text === this.messageText) return;
    this.messageText = text;
    this.message.replaceChildren(...nodes);
  }

  explainNoMatch() {
    const mayBeMore = this.active.cursor !== null || this.ended.cursor !== null;
    const clear = () => this.root.dispatchEvent(new CustomEvent("clear-filters"));
    return [
      el("p", { class: "strong", text: t(mayBeMore ? "empty.soFar" : "empty.filtered") }),
      el("button", { type: "button", text: t("empty.clear"), on: { click: clear } }),
    ];
  }

  /** @param {unknown} error null: all is well */
  say(error) {
    this.hasProblem = error !== null;
    show(this.problem, this.hasProblem);
    if (error === null) return;
    this.problem.replaceChildren(
      el("p", {}, el("strong", { text: t("error.list") }), " ", data(reasonOf(error))),
      el("button", { type: "button", text: t("tryAgain"), on: { click: () => this.load() } }),
    );
    if (!this.isLoaded) {
      this.message.removeAttribute("aria-busy");
      show(this.message, false);
    }
  }

  /** The running jobs on the screen, at most as many as one request takes. */
  idsOnScreen() {
    return [...this.visible].filter((id) => this.jobs.get(id)?.status === "running").slice(0, PROGRESS_IDS);
  }

  /** @param {Record<string, BriefProgress>} found by job id */
  takeProgress(found) {
    for (const [id, progress] of Object.entries(found)) {
      const row = this.rows.get(id);
      if (row?.job.status !== "running") continue;
      this.progress.set(id, progress);
      row.updateProgress(progress);
      row.tick(progress);
    }
  }

  tick() {
    const now = Date.now();
    for (const id of this.visible) this.rows.get(id)?.tick(this.progress.get(id), now);
  }

  /** After what is known of the providers has changed. */
  updateRows() {
    for (const [id, row] of this.rows) row.update(row.job, this.progress.get(id));
  }

  /** After the language has changed. */
  renew() {
    this.updateRows();
    if (this.isLoaded) this.arrange(true);
  }
}
