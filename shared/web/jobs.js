// The list: active jobs on top, ended ones below, newest first. Rows are made once and then only changed where needed.

import { get, jobPath, query } from "./api.js";
import { data, el, place, setAttribute, setText, show } from "./dom.js";
import { ago, duration, exact, isNumber, money, number, percent, reasonOf, t } from "./i18n.js";

export const ACTIVE = ["pending", "uploading", "queued", "running"];
export const ENDED = ["completed", "failed", "cancelled"];
const PAGE = 50;
const ACTIVE_PAGE = 200;
const PROGRESS_IDS = 50;
const SINGLE_LOOKS = 5;
// A search reads a part of the jobs a request and may find nothing in it: so many further ones follow by themselves.
const SEARCH_PAGE = 200;
const SEARCH_FURTHER = 7;
const LONG_NAME = 32;

export const isActive = (job) => ACTIVE.includes(job.status);
export const providerName = (provider) => (provider === "replicate" ? "Replicate" : provider);

/** What a person would call the job. */
export function nameOf(job) {
  const metadata = job.metadata ?? {};
  return (
    job.config_name ||
    metadata.run_name ||
    metadata.tracker_run_name ||
    String(metadata.model ?? "")
      .split("/")
      .pop() ||
    job.job_id
  );
}

/** Seconds from the start to now or to the end; a lost job's clock stands still. */
export function secondsOf(job, now = Date.now()) {
  if (job.status !== "running" || job.metadata?.lost || !job.started_at) return job.duration_seconds;
  return Math.max(0, (now - Date.parse(job.started_at)) / 1000);
}

/** What it has cost; while it runs, what was told grows with the clock. */
export function costOf(job, now = Date.now()) {
  if (job.status !== "running" || !isNumber(job.cost_usd) || !job.duration_seconds) return job.cost_usd;
  return (job.cost_usd / job.duration_seconds) * (secondsOf(job, now) ?? job.duration_seconds);
}

export function statusChip(job) {
  const chip = el("span", { class: "chip" }, el("span", { class: "dot" }), el("span", {}));
  updateChip(chip, job);
  return chip;
}

export function updateChip(chip, job) {
  setAttribute(chip, "data-status", job.metadata?.lost ? "lost" : job.status);
  setText(chip.lastChild, t(job.metadata?.lost ? "status.lost" : `status.${job.status}`));
}

export function progressBar() {
  const fill = el("span", { class: "fill" });
  const bar = el("span", { class: "track", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  return { bar, fill };
}

export function updateBar({ bar, fill }, value, label) {
  const known = isNumber(value);
  setAttribute(bar, "aria-valuenow", known ? value : null);
  setAttribute(bar, "aria-label", label);
  bar.classList.toggle("unknown", !known);
  const scale = `scaleX(${known ? Math.min(1, Math.max(0, value / 100)) : 0})`;
  if (fill.style.transform !== scale) fill.style.transform = scale;
}

class Row {
  constructor(job) {
    this.name = data("");
    this.chip = statusChip(job);
    this.subtitle = el("span", { class: "sub" });
    this.stage = el("span", { class: "stage" });
    this.percent = el("span", { class: "figure" });
    this.progress = progressBar();
    this.log = data("", { class: "log-line" });
    this.running = el(
      "div",
      { class: "running" },
      el("div", { class: "stage-line" }, this.stage, this.percent),
      this.progress.bar,
      this.log,
    );
    this.note = el("div", { class: "note" });
    this.labels = ["duration", "cost", "created"].map((name) => [name, el("span", { class: "unseen" })]);
    const [timeLabel, costLabel, createdLabel] = this.labels.map(([, node]) => node);
    this.time = el("span", { class: "figure" });
    this.timeNote = el("span", { class: "sub" });
    this.cost = el("span", { class: "figure" });
    this.costNote = el("span", { class: "sub" });
    this.created = el("time", { class: "when" });
    this.link = place(`job=${job.job_id}`, { class: "job-name" }, this.name);
    this.node = el(
      "li",
      { class: "job", "data-id": job.job_id },
      el("div", { class: "who" }, this.chip, el("div", { class: "names" }, this.link, this.subtitle)),
      el("div", { class: "what" }, this.running, this.note),
      el("div", { class: "cell" }, timeLabel, this.time, this.timeNote),
      el("div", { class: "cell" }, costLabel, this.cost, this.costNote),
      el("div", { class: "cell" }, createdLabel, this.created),
    );
    // What has a tooltip lies above the link that fills the row, and leads there all the same.
    this.node.addEventListener("click", (event) => {
      if (!event.target.closest("a") && getSelection().isCollapsed) this.link.click();
    });
    this.update(job, null);
  }

  update(job, progress) {
    this.job = job;
    const name = nameOf(job);
    setText(this.name, name);
    setAttribute(this.link, "title", name.length > LONG_NAME ? name : null);
    for (const [name, node] of this.labels) setText(node, `${t(`caption.${name}`)}: `);
    updateChip(this.chip, job);
    setText(
      this.subtitle,
      [job.job_id.slice(0, 10), job.hardware_type, providerName(job.provider)].filter(Boolean).join(" · "),
    );
    setAttribute(
      this.subtitle,
      "title",
      this.subtitle.textContent.length > LONG_NAME ? this.subtitle.textContent : null,
    );
    setAttribute(this.node, "data-status", job.status);
    const runs = job.status === "running";
    show(this.running, runs);
    show(this.note, !runs);
    if (runs) this.updateProgress(progress);
    else setText(this.note, this.noteOf(job));
    setAttribute(this.note, "title", runs ? null : this.note.textContent.length > 60 ? this.note.textContent : null);
    setAttribute(this.created, "datetime", job.created_at);
    setAttribute(this.created, "title", t("createdAt", { at: exact(job.created_at) }));
    this.tick(progress);
  }

  noteOf(job) {
    if (job.metadata?.lost) return t("note.lost");
    if (job.error_message) return job.error_message;
    if (isActive(job)) return t(`note.${job.status}`);
    return job.output_url ? t("note.output") : "";
  }

  updateProgress(progress) {
    setText(this.stage, progress?.stage ? t(`stage.${progress.stage}`) : progress ? t("stage.unknown") : "");
    this.progress.bar.classList.toggle("unread", !progress);
    setText(this.percent, isNumber(progress?.progress) ? percent(progress.progress) : "");
    updateBar(this.progress, progress?.progress ?? null, t("progressOf", { name: nameOf(this.job) }));
    setText(this.log, progress?.last_log ?? "");
    setAttribute(this.log, "title", progress?.last_log || null);
  }

  /** What changes by the clock alone. */
  tick(progress, now = Date.now()) {
    const job = this.job;
    const left = progress?.eta_seconds;
    this.labels[0][1].hidden = !isNumber(secondsOf(job, now));
    this.labels[1][1].hidden = !isNumber(costOf(job, now));
    setText(this.time, isNumber(secondsOf(job, now)) ? duration(secondsOf(job, now)) : "");
    setText(this.timeNote, job.status === "running" && isNumber(left) ? t("left", { time: duration(left) }) : "");
    const cost = costOf(job, now);
    setText(this.cost, isNumber(cost) ? money(cost) : "");
    setText(this.costNote, job.status === "running" && isNumber(cost) ? t("soFar") : "");
    setText(this.created, ago(job.created_at, now));
  }
}

class Section {
  constructor(key, onMore) {
    this.key = key;
    this.cursor = null;
    this.name = el("span", {});
    this.count = el("span", { class: "count" });
    this.captions = ["progress", "duration", "cost", "created"].map((name, index) => [
      name,
      el("span", { class: index ? "captions end" : "captions", "aria-hidden": "true" }),
    ]);
    this.list = el("ul", { class: "rows" });
    this.more = el("button", { type: "button", class: "more", on: { click: onMore } });
    this.title = el(
      "h3",
      {},
      el("span", { class: "group-name" }, this.name, this.count),
      ...this.captions.map(([, node]) => node),
    );
    this.node = el("section", { class: `group ${key}`, hidden: true }, this.title, this.list, this.more);
  }

  say(total, shown, isSearch) {
    setText(this.name, t(`group.${this.key}`));
    for (const [name, node] of this.captions) {
      setText(node, name === "progress" && this.key === "ended" ? t("caption.outcome") : t(`caption.${name}`));
    }
    setText(this.count, isNumber(total) ? number(total) : shown ? number(shown) : "");
    show(this.more, this.cursor !== null);
    setText(this.more, t(isSearch ? "searchOlder" : "showMore"));
  }
}

export class JobList {
  /** `onUnread()` when running jobs have come to the screen; `explainEmpty()` gives what to show without any job. */
  constructor(root, { onUnread, explainEmpty }) {
    this.onUnread = onUnread;
    this.explainEmpty = explainEmpty;
    this.filter = { q: "", status: "", provider: "" };
    this.jobs = new Map();
    this.rows = new Map();
    this.progress = new Map();
    this.visible = new Set();
    this.totals = { active: null, ended: null };
    this.active = new Section("active", () => this.loadMore(this.active));
    this.ended = new Section("ended", () => this.loadMore(this.ended));
    this.message = el("div", { class: "message", hidden: true });
    this.problem = el("div", { class: "problem", role: "alert", hidden: true });
    this.moved = el("button", { type: "button", class: "moved", hidden: true, on: { click: () => this.putInOrder() } });
    this.root = root;
    root.append(this.problem, this.moved, this.message, this.active.node, this.ended.node);
    this.turn = 0;
    this.isLoaded = false;
    this.hasProblem = false;
    this.unknown = new Set();
    this.observer = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const { id } = entry.target.dataset;
          if (entry.isIntersecting) this.visible.add(id);
          else this.visible.delete(id);
        }
        if (this.idsOnScreen().some((id) => !this.progress.has(id))) this.onUnread();
      },
      { rootMargin: "120px" },
    );
    root.addEventListener("pointerleave", () => this.settle());
    root.addEventListener("focusout", () => this.settle());
    this.showSkeleton();
  }

  showSkeleton() {
    this.message.replaceChildren(
      ...Array.from({ length: 4 }, () => el("div", { class: "skeleton", "aria-hidden": "true" })),
    );
    this.message.setAttribute("aria-busy", "true");
    show(this.message, true);
  }

  statuses(section) {
    const all = section === this.active ? ACTIVE : ENDED;
    const wanted = this.filter.status;
    if (wanted === "" || (wanted === "active" && section === this.active)) return all;
    return all.filter((status) => status === wanted);
  }

  async page(section, cursor, extra = {}) {
    const statuses = this.statuses(section);
    if (!statuses.length) return { jobs: [], total: 0, next_cursor: null };
    const { turn } = this;
    const { q, provider } = this.filter;
    const limit = q ? SEARCH_PAGE : section === this.active ? ACTIVE_PAGE : PAGE;
    const read = (from, more) =>
      get(`api/cloud/jobs${query({ limit, status: statuses.join(","), q, provider, cursor: from, ...more })}`);
    const found = await read(cursor, extra);
    for (
      let further = 0;
      found.next_cursor && found.jobs.length < PAGE && further < SEARCH_FURTHER && turn === this.turn;
      further += 1
    ) {
      const next = await read(found.next_cursor);
      found.jobs.push(...next.jobs);
      found.next_cursor = next.next_cursor;
    }
    return found;
  }

  /** Read the list anew; what is shown stays until the answer is there, also when there is none. */
  async load({ syncActive = false } = {}) {
    const turn = ++this.turn;
    try {
      const [active, ended] = await Promise.all([
        this.page(this.active, null, syncActive ? { sync_active: "true" } : {}),
        this.page(this.ended, null),
      ]);
      if (turn !== this.turn) return false;
      const kept = new Map(this.jobs);
      this.jobs = new Map([...active.jobs, ...ended.jobs].map((job) => [job.job_id, job]));
      this.keepPagesBelow(kept, ended);
      [this.totals.active, this.totals.ended] = [active.total, ended.total];
      this.active.cursor = active.next_cursor;
      if (!this.hasMorePages || !this.isSameFilter) this.ended.cursor = ended.next_cursor;
      const mayMove = !this.isSameFilter || !this.isBeingRead();
      this.isSameFilter = true;
      this.isLoaded = true;
      this.say(null);
      this.arrange(mayMove);
      return true;
    } catch (error) {
      if (turn === this.turn) this.say(error);
      return false;
    }
  }

  /** A reload for the same filter keeps the further pages that were opened. */
  keepPagesBelow(kept, firstPage) {
    if (!this.hasMorePages || !this.isSameFilter || firstPage.next_cursor === null) return;
    const last = firstPage.jobs.at(-1)?.created_at;
    for (const [id, job] of kept) {
      if (!isActive(job) && !this.jobs.has(id) && (last === undefined || job.created_at < last)) this.jobs.set(id, job);
    }
  }

  async loadMore(section) {
    if (section.more.getAttribute("aria-disabled") === "true") return;
    const turn = this.turn;
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
      if (hadFocus) {
        (last?.nextElementSibling ?? section.list.firstElementChild)?.querySelector("a").focus({ preventScroll: true });
      }
    } catch (error) {
      this.say(error);
    } finally {
      section.more.removeAttribute("aria-disabled");
    }
  }

  setFilter(filter) {
    Object.assign(this.filter, filter);
    this.isSameFilter = false;
    this.hasMorePages = false;
    this.root.setAttribute("aria-busy", "true");
    return this.load().finally(() => this.root.removeAttribute("aria-busy"));
  }

  /** Whether the job is of the status and the provider that are asked for. */
  belongs(job) {
    const { status, provider } = this.filter;
    if (status && (status === "active" ? !isActive(job) : job.status !== status)) return false;
    return !provider || job.provider === provider;
  }

  fits(job) {
    const { q } = this.filter;
    if (!this.belongs(job)) return false;
    const text = q.toLowerCase();
    return (
      !text ||
      [job.job_id, job.config_name, job.metadata?.run_name, job.metadata?.model].some((name) =>
        String(name ?? "")
          .toLowerCase()
          .includes(text),
      )
    );
  }

  /** Take in events: changes of known jobs at once, unknown jobs after one look at them. */
  take(events) {
    let isChanged = false;
    for (const event of events) {
      const known = this.jobs.get(event.job_id);
      if (event.type === "job_deleted" || event.status === "deleted") {
        if (known) this.recount(known, -1);
        this.jobs.delete(event.job_id);
        isChanged ||= Boolean(known);
      } else if (event.type === "cloud_job_update" && known) {
        isChanged = this.merge(known, event.updates ?? { status: event.status }) || isChanged;
      } else if (event.type === "job_status_changed" && known) {
        isChanged = this.merge(known, { status: event.status }) || isChanged;
      } else if (event.type === "job_status_changed") {
        this.unknown.add(event.job_id);
      }
    }
    if (isChanged) this.arrange(!this.isBeingRead());
    if (this.unknown.size) {
      clearTimeout(this.looking);
      this.looking = setTimeout(() => this.lookAtUnknown(), 250);
    }
  }

  merge(job, updates) {
    const changed = { ...job };
    for (const [name, value] of Object.entries(updates)) {
      if (value !== null && value !== undefined) changed[name] = value;
    }
    changed.finished_at = changed.completed_at;
    changed.is_active = isActive(changed);
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

  recount(job, step) {
    if (!this.belongs(job)) return;
    const name = isActive(job) ? "active" : "ended";
    if (isNumber(this.totals[name])) this.totals[name] = Math.max(0, this.totals[name] + step);
  }

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
    const found = await Promise.allSettled(ids.map((id) => get(jobPath(id))));
    for (const answer of found) {
      if (answer.status !== "fulfilled" || !this.fits(answer.value.job)) continue;
      if (!this.jobs.has(answer.value.job.job_id)) this.recount(answer.value.job, 1);
      this.jobs.set(answer.value.job.job_id, answer.value.job);
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
    if (this.moved.hidden && document.activeElement === document.body) {
      this.root.querySelector(".job-name")?.focus({ preventScroll: true });
    }
  }

  settle() {
    setTimeout(() => {
      if (!this.moved.hidden && !this.isBeingRead()) this.putInOrder();
    }, 400);
  }

  /** Bring the rows into their order. Without `mayMove` rows stay in place, changed ones too, and a button says so. */
  arrange(mayMove) {
    // Where no row stands yet, none can move away under the pointer.
    const mayInsert = mayMove || !this.isLoaded || this.rows.size === 0;
    let isMoved = false;
    for (const [id, job] of this.jobs) {
      if (this.belongs(job)) continue;
      if (mayMove) this.jobs.delete(id);
      else isMoved = true;
    }
    for (const [id, row] of this.rows) {
      if (mayMove && row.node.style.minHeight) row.node.style.minHeight = "";
      if (this.jobs.has(id)) continue;
      this.observer.unobserve(row.node);
      row.node.remove();
      this.rows.delete(id);
      this.progress.delete(id);
    }
    const newest = [...this.jobs.values()].sort((a, b) =>
      a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : a.job_id < b.job_id ? 1 : -1,
    );
    for (const section of [this.active, this.ended]) {
      const wanted = newest.filter((job) => isActive(job) === (section === this.active));
      const ids = new Set(wanted.map((job) => job.job_id));
      const settled = (node) => {
        // A row that belongs to the other section leaves; one that may not move yet is passed over.
        let at = node;
        while (at && !ids.has(at.dataset.id)) {
          const following = at.nextElementSibling;
          if (mayMove) at.remove();
          else isMoved = true;
          at = following;
        }
        return at;
      };
      let next = settled(section.list.firstElementChild);
      for (const job of wanted) {
        let row = this.rows.get(job.job_id);
        if (row && row.job !== job) row.update(job, this.progress.get(job.job_id));
        if (row?.node === next && next) {
          next = settled(next.nextElementSibling);
          continue;
        }
        if (!mayInsert) {
          isMoved = true;
          continue;
        }
        row ??= this.makeRow(job);
        section.list.insertBefore(row.node, next);
      }
      const shown = section.list.childElementCount;
      section.say(this.totals[section.key], shown, this.filter.q !== "");
      show(section.node, shown > 0 || section.cursor !== null);
    }
    show(this.moved, isMoved);
    if (isMoved) setText(this.moved, t("listMoved"));
    this.sayEmpty();
  }

  makeRow(job) {
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
    const nodes = isFiltered
      ? [
          el("p", {
            class: "strong",
            text: t((this.active.cursor ?? this.ended.cursor) ? "empty.soFar" : "empty.filtered"),
          }),
          el("button", {
            type: "button",
            text: t("empty.clear"),
            on: { click: () => this.root.dispatchEvent(new CustomEvent("clear-filters")) },
          }),
        ]
      : this.explainEmpty();
    // Only where it says something else: a button in it keeps the focus.
    const text = nodes.map((node) => node.textContent).join("\n");
    if (text === this.messageText) return;
    this.messageText = text;
    this.message.replaceChildren(...nodes);
  }

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

  takeProgress(found) {
    for (const [id, progress] of Object.entries(found)) {
      const row = this.rows.get(id);
      if (!row || row.job.status !== "running") continue;
      this.progress.set(id, progress);
      row.updateProgress(progress);
      row.tick(progress);
    }
  }

  tick() {
    const now = Date.now();
    for (const id of this.visible) this.rows.get(id)?.tick(this.progress.get(id), now);
  }

  /** After the language has changed. */
  renew() {
    for (const [id, row] of this.rows) row.update(row.job, this.progress.get(id));
    if (this.isLoaded) this.arrange(true);
  }
}
