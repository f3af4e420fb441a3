// Requests to this service. Addresses are relative to this file, so the page works below any stage prefix.

/** @import * as types from "./types.d.ts" */

export const BASE = new URL("../../", import.meta.url);
const TIMEOUT_MS = 28_000;

/** No good answer: `status` is 0 when nobody answered at all, else HTTP's. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail "timeout" or "unreachable" with status 0, else the service's own sentence.
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const listeners = {
  signedOut: () => {},
  /** @type {(isReached: boolean) => void} */
  reached: () => {},
};

/**
 * `signedOut()` when an answer says 401, `reached(isReached)` after each request.
 *
 * @param {typeof listeners} given
 */
export function listen(given) {
  Object.assign(listeners, given);
}

/**
 * The JSON of an answer. Raises ApiError.
 *
 * @param {"GET" | "POST" | "PUT" | "DELETE"} method
 * @param {string} path
 * @param {object} [body]
 */
async function request(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", "X-Requested-With": "dashboard" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  let content;
  try {
    answer = await fetch(new URL(path, BASE), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    // A good answer that breaks off, or is some proxy's page, is none.
    content = await (answer.ok ? answer.json() : answer.json().catch(() => ({})));
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === "TimeoutError";
    if (!isLate) listeners.reached(false);
    throw new ApiError(0, isLate ? "timeout" : "unreachable");
  }
  listeners.reached(true);
  if (answer.ok) return content;
  if (answer.status === 401) listeners.signedOut();
  throw new ApiError(answer.status, String(content.detail ?? content.message ?? `HTTP ${answer.status}`));
}

/**
 * A query string of what is given; empty values are left out.
 *
 * @param {Record<string, string | number | null | undefined>} values
 */
function query(values) {
  const found = Object.entries(values).flatMap(([name, value]) =>
    value === null || value === undefined || value === "" ? [] : [[name, String(value)]],
  );
  return found.length ? `?${new URLSearchParams(found)}` : "";
}

/** @param {string} jobId */
const jobPath = (jobId, rest = "") => `api/cloud/jobs/${encodeURIComponent(jobId)}${rest}`;

/** @param {string} provider */
const providerPath = (provider, rest = "") => `api/cloud/providers/${encodeURIComponent(provider)}${rest}`;

/**
 * @param {Record<string, string | number | null | undefined>} filter `limit`, `status` (a comma list), `q`, `provider`,
 *   `cursor`, `sync_active`.
 * @returns {Promise<types.JobPage>}
 */
export const listJobs = (filter) => request("GET", `api/cloud/jobs${query(filter)}`);

/**
 * @param {string} jobId
 * @returns {Promise<types.JobDetails>}
 */
export const readJob = (jobId) => request("GET", jobPath(jobId));

/**
 * @param {string} jobId
 * @returns {Promise<types.Progress>}
 */
export const readProgress = (jobId) => request("GET", jobPath(jobId, "/progress"));

/**
 * @param {string[]} jobIds at most 50
 * @returns {Promise<{ progress: Record<string, types.BriefProgress> }>}
 */
export const readPageProgress = (jobIds) => request("GET", `api/cloud/progress?ids=${jobIds.join(",")}`);

/**
 * @param {string} jobId
 * @param {number} after the byte to begin at
 * @returns {Promise<types.LogPiece>}
 */
export const readLog = (jobId, after) => request("GET", jobPath(jobId, `/logs${query({ after: after || null })}`));

/**
 * @param {string} jobId
 * @returns {Promise<{ status: types.JobStatus }>}
 */
export const cancelJob = (jobId) => request("POST", jobPath(jobId, "/cancel"));

/**
 * @param {string} jobId
 * @returns {Promise<unknown>}
 */
export const deleteJob = (jobId) => request("DELETE", jobPath(jobId));

/** @returns {Promise<types.SyncResult>} */
export const syncJobs = () => request("POST", "api/cloud/jobs/sync");

/**
 * @param {number} days
 * @returns {Promise<types.Metrics>}
 */
export const readMetrics = (days) => request("GET", `api/cloud/metrics${query({ days })}`);

/**
 * @param {string} provider
 * @returns {Promise<types.CostLimit>}
 */
export const readCostLimit = (provider) => request("GET", `api/cloud/cost-limit/status${query({ provider })}`);

/** @returns {Promise<types.PollingStatus>} */
export const readPolling = () => request("GET", "api/cloud/polling/status");

/** @returns {Promise<{ providers: types.Provider[] }>} */
export const listProviders = () => request("GET", "api/cloud/providers");

/**
 * @param {string} provider
 * @returns {Promise<types.ProviderAccount>}
 */
export const validateProvider = (provider) => request("GET", providerPath(provider, "/validate"));

/**
 * @param {string} provider
 * @returns {Promise<{ config: types.ProviderConfig }>}
 */
export const readProviderConfig = (provider) => request("GET", providerPath(provider, "/config"));

/**
 * @param {string} provider
 * @param {types.ProviderChanges} changes
 * @returns {Promise<{ config: types.ProviderConfig }>} as it is afterwards
 */
export const changeProviderConfig = (provider, changes) => request("PUT", providerPath(provider, "/config"), changes);

/**
 * @param {string} provider
 * @param {string} token
 * @returns {Promise<types.TokenAnswer>}
 */
export const keepToken = (provider, token) => request("PUT", providerPath(provider, "/token"), { api_token: token });

/**
 * @param {string} provider
 * @returns {Promise<types.TokenAnswer>}
 */
export const forgetToken = (provider) => request("DELETE", providerPath(provider, "/token"));

/**
 * @param {string} provider
 * @param {string | undefined} url
 * @returns {Promise<types.WebhookProbe>}
 */
export const probeWebhook = (provider, url) =>
  request("POST", "api/cloud/webhook/test", { webhook_url: url, provider, method: "direct" });

/** @returns {Promise<types.Who>} */
export const readMe = () => request("GET", "api/auth/me");

/**
 * @param {string} key
 * @returns {Promise<unknown>}
 */
export const signIn = (key) => request("POST", "api/auth/login", { key });

/** @returns {Promise<unknown>} */
export const signOut = () => request("POST", "api/auth/logout");
