// One job as the list and its own sheet show it: its name, clock and cost, its status chip and its progress bar.

/** @import { ActiveStatus, EndedStatus, Job, JobStatus } from "./types.d.ts" */

import { el, setAttribute, setText } from "./dom.js";
import { isNumber, t } from "./i18n.js";

/** @type {ActiveStatus[]} */
export const ACTIVE = ["pending", "uploading", "queued", "running"];
/** @type {EndedStatus[]} */
export const ENDED = ["completed", "failed", "cancelled"];

/**
 * @param {JobStatus} status
 * @returns {status is ActiveStatus}
 */
export const isActive = (status) => ACTIVE.some((active) => active === status);

/**
 * What a person would call the job.
 *
 * @param {Job} job
 */
export function nameOf(job) {
  const { run_name, tracker_run_name, model } = job.metadata;
  return (
    job.config_name ||
    run_name ||
    tracker_run_name ||
    String(model ?? "")
      .split("/")
      .pop() ||
    job.job_id
  );
}

/**
 * Seconds from the start to now or to the end; a lost job's clock stands still.
 *
 * @param {Job} job
 * @param {number} [now] milliseconds
 */
export function secondsOf(job, now = Date.now()) {
  if (job.status !== "running" || job.metadata.lost || !job.started_at) return job.duration_seconds;
  return Math.max(0, (now - Date.parse(job.started_at)) / 1000);
}

/**
 * What it has cost; while it runs, what was told grows with the clock.
 *
 * @param {Job} job
 * @param {number} [now] milliseconds
 */
export function costOf(job, now = Date.now()) {
  if (job.status !== "running" || !isNumber(job.cost_usd) || !job.duration_seconds) return job.cost_usd;
  return (job.cost_usd / job.duration_seconds) * (secondsOf(job, now) ?? job.duration_seconds);
}

export class StatusChip {
  /** @param {Job} job */
  constructor(job) {
    this.text = el("span", {});
    this.node = el("span", { class: "chip" }, el("span", { class: "dot" }), this.text);
    this.update(job);
  }

  /** @param {Job} job */
  update(job) {
    const shown = job.metadata.lost ? "lost" : job.status;
    setAttribute(this.node, "data-status", shown);
    setText(this.text, t(`status.${shown}`));
  }
}

export class ProgressBar {
  constructor() {
    this.fill = el("span", { class: "fill" });
    this.node = el(
      "span",
      { class: "track", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 },
      this.fill,
    );
  }

  /**
   * @param {number | null} value percent; null: not known
   * @param {string} label
   */
  update(value, label) {
    setAttribute(this.node, "aria-valuenow", value);
    setAttribute(this.node, "aria-label", label);
    this.node.classList.toggle("unknown", value === null);
    const scale = `scaleX(${value === null ? 0 : Math.min(1, Math.max(0, value / 100))})`;
    if (this.fill.style.transform !== scale) this.fill.style.transform = scale;
  }
}
