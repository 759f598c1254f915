// Calls to the service. Addresses are relative to the page, so that it works under whatever path a proxy serves it.

const KEY = "key"; // of the session storage, which goes with the tab, or of the local one where people chose that
const PASSING = [429, 502, 503, 504]; // refusals that mean no more than "not now"

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
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  set: (text, { remember = false } = {}) => {
    key.forget();
    (remember ? localStorage : sessionStorage).setItem(KEY, text);
  },
  forget: () => [sessionStorage, localStorage].forEach((storage) => storage.removeItem(KEY)),
};

export const headers = () => (key.get() ? { Authorization: `Bearer ${key.get()}` } : {});

let askForKey = async () => false;

// Who asks people for a key when a call is refused for want of one, or of a right one: whether another one is there now.
export const onUnauthorized = (ask) => { askForKey = ask; };

let declined = 0; // when people last did not give one; what was sent before does not ask them again

async function isAnotherKey({ used, sent, problem }) {
  if (key.get() !== used) return true;
  if (sent < declined) return false;
  const given = await askForKey(problem);
  if (!given) declined = performance.now();
  return given;
}

// The answer to a request, which is sent again once there is a key where one was missing. Throws a Problem, or a
// TypeError where the service cannot be reached.
export async function call(path, options = {}) {
  for (;;) {
    const used = key.get();
    const sent = performance.now();
    const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
    if (response.ok) return response;
    const problem = new Problem(response.status, await response.json().catch(() => ({ detail: response.statusText })));
    if (problem.status !== 401 || !(await isAnotherKey({ used, sent, problem }))) throw problem;
  }
}

export const json = async (path, options) => (await call(path, options)).json();

// Whether what went wrong may go well in a moment: the service is away, or busy.
export const passing = (error) => !(error instanceof Problem) || PASSING.includes(error.status);

export const jobPath = (id, part = "") => `v1/jobs/${id}${part}`;
