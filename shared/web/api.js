// Requests to this service. Addresses are relative to this file, so the page works below any stage prefix.

export const BASE = new URL("../../", import.meta.url);
const TIMEOUT_MS = 28_000;

export class ApiError extends Error {
  constructor(status, detail, code) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const listeners = { signedOut: () => {}, reached: () => {} };

/** `signedOut()` when an answer says 401, `reached(isReached)` after each request. */
export function listen(given) {
  Object.assign(listeners, given);
}

/** The JSON of an answer. Raises ApiError: status 0 when nobody answered, else with the service's own sentence. */
export async function request(method, path, body) {
  const headers = { Accept: "application/json", "X-Requested-With": "dashboard" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    if (error.name !== "TimeoutError") listeners.reached(false);
    throw new ApiError(0, error.name === "TimeoutError" ? "timeout" : "unreachable", "unreachable");
  }
  listeners.reached(true);
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 401) listeners.signedOut();
  throw new ApiError(
    answer.status,
    String(content.detail ?? content.message ?? `HTTP ${answer.status}`),
    content.error,
  );
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
export const put = (path, body) => request("PUT", path, body);
export const remove = (path) => request("DELETE", path);

/** A query string of what is given; empty values are left out. */
export function query(values) {
  const found = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return found.length ? `?${new URLSearchParams(found)}` : "";
}

export const jobPath = (jobId, rest = "") => `api/cloud/jobs/${encodeURIComponent(jobId)}${rest}`;
