// Calls to the service. Addresses are relative to the page, so that it works under whatever path a proxy serves it.

const KEY = "key"; // of the session storage; an API key is kept no longer than the tab

// What the service refused: `type` is the last part of its problem type ("no-face"), `detail` its own words.
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? String(status));
    this.status = status;
    this.type = String(document.type ?? "").split("/").pop();
    this.detail = this.message;
    this.got = document.got;
    this.allowed = document.allowed;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

export const headers = () => (key.get() ? { Authorization: `Bearer ${key.get()}` } : {});

const unauthorized = [];

// Be told when a call is refused for want of a key, or of a right one.
export const onUnauthorized = (tell) => unauthorized.push(tell);

// The answer to a request. Throws a Problem, or a TypeError where the service cannot be reached.
export async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (response.ok) return response;
  const problem = new Problem(response.status, await response.json().catch(() => ({ detail: response.statusText })));
  if (problem.status === 401) unauthorized.forEach((tell) => tell(problem));
  throw problem;
}

export const json = async (path, options) => (await call(path, options)).json();

export const jobPath = (id, part = "") => `v1/jobs/${id}${part}`;
