// What the service answers and what the page hands around, for the type checker only: the browser never asks for it.

import type english from "./strings.en.json";

/** The name of a sentence in strings.<language>.json. */
export type SentenceKey = keyof typeof english;

export type ActiveStatus = "pending" | "uploading" | "queued" | "running";
export type EndedStatus = "completed" | "failed" | "cancelled";
export type JobStatus = ActiveStatus | EndedStatus;
export type Stage = "Preprocessing" | "Warmup" | "Training" | "Validation" | "Saving checkpoint";

export interface JobMetadata {
  run_name?: string | null;
  tracker_run_name?: string | null;
  model?: string | null;
  /** The job's id at its provider. */
  prediction_id?: string | null;
  /** The provider no longer knows the job. */
  lost?: boolean;
  /** The end told nothing of what is billed. */
  cost_estimated?: boolean;
  [name: string]: unknown;
}

/** Costs in US dollars, durations in seconds, times ISO 8601 UTC. */
export interface Job {
  job_id: string;
  job_type: "cloud" | "local";
  provider: string;
  status: JobStatus;
  config_name: string | null;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  finished_at: string | null;
  /** While the job runs: what it has cost until it was read. */
  cost_usd: number | null;
  hardware_type: string;
  error_message: string | null;
  output_url: string | null;
  user_id: string | null;
  metadata: JobMetadata;
  is_terminal: boolean;
  is_active: boolean;
  duration_seconds: number | null;
}

export interface JobPage {
  jobs: Job[];
  /** Null where the service does not count: with a search. */
  total: number | null;
  next_cursor: string | null;
}

export interface Transition {
  status: JobStatus;
  at: string;
}

export interface JobDetails {
  job: Job;
  /** Oldest first. */
  transitions: Transition[];
}

/** What of a job its events tell anew. */
export type JobUpdates = Partial<Pick<Job, "status" | "started_at" | "completed_at" | "cost_usd" | "error_message">>;

interface EventBase {
  /** `<epoch>-<n>`, without gap within an epoch. */
  id: string;
  job_id: string;
}

export interface StatusChanged extends EventBase {
  type: "job_status_changed";
  status: JobStatus;
  previous_status: JobStatus | null;
  provider: string;
  at: string;
}

export interface JobUpdated extends EventBase {
  type: "cloud_job_update";
  status: JobStatus;
  config_name: string | null;
  cost_usd: number | null;
  error_message: string | null;
  updates: JobUpdates;
}

/** The second frame of a deletion, after its `job_deleted`. */
export interface JobGone extends EventBase {
  type: "cloud_job_update";
  status: "deleted";
}

export interface JobDeleted extends EventBase {
  type: "job_deleted";
  status?: undefined;
}

export type JobEvent = StatusChanged | JobUpdated | JobGone | JobDeleted;

/** What a WebSocket says; anything else is said by the gateway in front of it. */
export type SocketMessage =
  | { type: "connected" | "reset" | "heartbeat"; head: string }
  | { type: "events"; events: JobEvent[] };

export type LinkState = "connecting" | "live" | "catching_up" | "polling" | "offline";

/** What a running job's log tells, in the list. */
export interface BriefProgress {
  stage: Stage | null;
  last_log: string | null;
  /** Percent, 0 to 100. */
  progress: number | null;
  eta_seconds: number | null;
  updated_at: string | null;
}

export interface LossPoint {
  /** Seconds since the start. */
  t: number | null;
  step: number;
  loss: number;
}

export interface Progress extends BriefProgress {
  job_id: string;
  step: number | null;
  total_steps: number | null;
  epoch: number | null;
  total_epochs: number | null;
  loss: number | null;
  learning_rate: number | null;
  steps_per_second: number | null;
  history: LossPoint[];
}

export interface LogPiece {
  job_id: string;
  logs: string;
  /** The byte to ask for next. */
  next: number;
}

export interface Provider {
  id: string;
  name: string;
  /** Whether it has a token. */
  configured: boolean;
  has_webhooks: boolean;
  /** Where its tokens come from. */
  token_url: string;
  /** A job's page there, with `{external_id}` in it. */
  job_url: string | null;
  /** How long after its end a job's log can be had there; null: always. */
  log_kept_seconds: number | null;
}

export interface ProviderAccount {
  valid: boolean;
  username: string | null;
  error: string | null;
}

export interface ProviderConfig {
  webhook_url?: string;
  [name: string]: unknown;
}

export interface ProviderChanges {
  webhook_url?: string;
  cost_limit_enabled?: boolean;
  cost_limit_amount?: number;
  cost_limit_period?: LimitPeriod;
  cost_limit_action?: LimitAction;
}

/** What became of a token. */
export interface TokenAnswer {
  success: boolean;
  /** A warning, when the token is kept all the same. */
  error: string | null;
  /** Where it is kept, in words. */
  file_path: string;
}

export interface WebhookProbe {
  success: boolean;
  error: string | null;
  latency_ms: number | null;
  status_code: number | null;
}

export interface PollingStatus {
  is_active: boolean;
  interval_seconds: number;
  effective_interval_seconds: number;
  last_tick_at: string | null;
  /** Why it is on or off, in a sentence. */
  reason: string;
  last_errors: { provider: string; error: string; message: string; at: string }[];
  providers: { provider: string; is_active: boolean }[];
}

export interface Metrics {
  total_cost: number;
  job_count: number;
  avg_job_duration_seconds: number | null;
  jobs_by_status: Partial<Record<JobStatus, number>>;
  cost_by_day: { date: string; cost: number; jobs: number }[];
}

export type LimitPeriod = "daily" | "weekly" | "monthly";
export type LimitAction = "warn" | "block";

export interface CostLimit {
  enabled: boolean;
  limit_amount: number;
  period: LimitPeriod;
  action: LimitAction;
  current_spend: number;
  percent_used: number;
  is_exceeded: boolean;
  is_warning: boolean;
}

export interface SyncResult {
  synced: number;
  updated: number;
  message: string;
}

export interface Who {
  user_id: string;
  role: string;
  can_sign_out: boolean;
}

/** What `el` makes of an element besides its children; every other name is an attribute. */
export interface Properties {
  class?: string | null;
  text?: unknown;
  on?: { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => unknown };
  /** Null, undefined and false: without the attribute. */
  [attribute: string]: unknown;
}

export type Child = Node | string | null | undefined | false;

export type ToastKind = "good" | "bad";
export type Toast = (text: string, kind?: ToastKind) => void;
