// Jobs: one is sent, followed to its end, and its result shown on the stage.

import { call, jobPath, json, Problem } from "./api.js";
import { $ } from "./elements.js";
import { follow, pause } from "./events.js";
import { live } from "./live.js";
import { announce, clearError, tellError } from "./notices.js";
import { Player } from "./player.js";
import { forgetPortraitId, portraitId } from "./portrait.js";
import { clearResult, showResult } from "./result.js";
import { bar } from "./stage.js";
import { state } from "./state.js";
import { t } from "./words.js";
import { Work } from "./work.js";

const LIVING = ["queued", "running"];
const CUT_MS = 500; // a stream that something between cuts short is asked for again after so long
const QUEUE_MS = 2000; // the place in the line is asked for so often

let sent = null; // the last job of this page: {id, path, fields, what}
let attending = null; // stops following the job at hand

// Files go as they are, texts too, and all else as JSON. What is null is not sent.
function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined) continue;
    form.append(name, value instanceof Blob || typeof value === "string" ? value : JSON.stringify(value));
  }
  return form;
}

async function create(path, fields, signal) {
  const post = async () => {
    const body = formOf({ portrait_id: await portraitId(), ...fields });
    return json(`v1/${path}`, { method: "POST", body, signal });
  };
  try {
    return await post();
  } catch (error) {
    if (error.type !== "no-such-portrait") throw error;
    forgetPortraitId(); // it has expired
    return post();
  }
}

// Look after the job's place in the line while it waits; stopped by what comes back.
function watchQueue(id, work) {
  const look = async () => {
    const job = await json(jobPath(id)).catch(() => null); // the events tell of all that matters
    if (timer && job?.status === "queued") work.waiting(job);
  };
  let timer = setInterval(look, QUEUE_MS);
  look();
  return () => {
    clearInterval(timer);
    timer = null;
  };
}

// Follow a job to its end. The job as it is then, and the player of what could be seen before.
async function attend(job, work, signal) {
  const attended = { job, player: null };
  const stopWatching = job.status === "queued" ? watchQueue(job.id, work) : () => {};
  const tell = (event, data) => {
    if (event === "progress") {
      stopWatching();
      work.progress(data);
    } else if (event === "segment" && !attended.player) {
      clearResult();
      attended.player = new Player(job);
      bar(attended.player.soundButton);
    }
  };
  try {
    for (let last = ""; LIVING.includes(attended.job.status); ) {
      last = await follow(job.id, { last, tell, lost: () => work.lost(), signal });
      attended.job = await json(jobPath(job.id), { signal });
      if (LIVING.includes(attended.job.status)) await pause(CUT_MS);
    }
    return attended;
  } catch (error) {
    attended.player?.close();
    throw error;
  } finally {
    stopWatching();
  }
}

// Only where the reader is not about something else meanwhile.
function focusResult() {
  const shown = $("picture").querySelector("video") ?? $("picture");
  if (!shown.hasAttribute("tabindex")) shown.tabIndex = -1;
  shown.focus({ preventScroll: true });
}

const END = { canceled: "job.was-canceled", expired: "job.has-expired" };

async function finish(job, player, work, { canceled }) {
  if (job.status === "succeeded") {
    await showResult(job, player);
    if (work.close()) focusResult();
    announce(t("job.done"));
    return;
  }
  player?.close();
  state.set({ job: null });
  live.show();
  if (canceled) announce(t("job.was-canceled"));
  else throw new Problem(job.error?.status ?? 410, job.error ?? { type: `job-${job.status}`, detail: t(END[job.status]) });
}

// Do all of it: `begin` gives the job, new or old. Errors are told; nothing that was chosen is lost.
async function see(words, begin) {
  attending?.abort(); // the job before goes on at the service, and is found in the history
  const stop = new AbortController();
  attending = stop;
  let job = null;
  let canceled = false;
  const from = document.activeElement;
  clearError();
  state.set({ busy: true });
  live.close(); // with a single worker, it is needed here
  const work = new Work(words, () => {
    canceled = true;
    if (job) call(jobPath(job.id, "/cancel"), { method: "POST" }).catch(() => {});
    else stop.abort();
  });
  try {
    job = await begin(stop.signal);
    state.set({ job });
    const attended = await attend(job, work, stop.signal);
    state.set({ job: attended.job });
    await finish(attended.job, attended.player, work, { canceled });
  } catch (error) {
    if (!stop.signal.aborted) tellError(error);
  } finally {
    if (attending === stop) {
      attending = null;
      const focused = work.close();
      state.set({ busy: false });
      if (focused) from.focus({ preventScroll: true });
    }
  }
}

// Send a job and see it through. `what` names its result, as "smile" or "speech".
export async function run(path, fields, { what }) {
  if (state.get("busy")) return;
  const metadata = { what, portrait: state.get("portrait")?.name ?? "" };
  const options = { ...fields.options, face: state.get("options").face ?? undefined }; // the one meant in the photo
  await see(t("work.sending"), async (signal) => {
    const job = await create(path, { ...fields, options, metadata }, signal);
    sent = { id: job.id, path, fields, what };
    return job;
  });
}

// The same for a job that exists: after a reload, or from the history.
export const resume = (id) => see(t("work.opening"), (signal) => json(jobPath(id), { signal }));

// What a job of another time was made of, as far as the service gives it back.
async function recalled(job) {
  const { audio, text, voice, motion, options } = job.input;
  const speech = audio && !text ? await (await call(jobPath(job.id, "/speech"))).blob() : null;
  return { path: `${job.kind}s`, fields: { audio: speech, text, voice, motion, options }, what: job.metadata.what };
}

export const canRunAgain = (job) => {
  const { driving, motion_file: file, motions, motions_file: files } = job.input ?? {};
  return job.kind !== "motion" && (sent?.id === job.id || Boolean(job.input && !driving && !file && !motions && !files));
};

// The job on the stage once more, with some options changed: another seed, another format.
export async function again(options) {
  const job = state.get("job");
  try {
    const { path, fields, what } = sent?.id === job.id ? sent : await recalled(job);
    await run(path, { ...fields, options: { ...fields.options, ...options } }, { what: what ?? job.kind });
  } catch (error) {
    tellError(error);
  }
}
