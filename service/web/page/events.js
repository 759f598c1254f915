// What happens to a job, as the service tells it: server-sent events read with fetch, since EventSource sends no key.

import { call, jobPath, passing } from "./api.js";

const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]; // before the line is tried again

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) yield Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
  }
}

// Tell of each event of a job after the event `last`, until the stream ends; the last event's id. A broken line is taken
// up where it broke; `lost` is told while it is. Throws what `call` throws when that is no use, or an AbortError when
// `signal` says to stop.
export async function follow(id, { last, tell, lost, signal }) {
  for (let broken = 0; ; broken += 1) {
    try {
      const response = await call(jobPath(id, "/events"), { headers: last ? { "Last-Event-ID": last } : {}, signal });
      for await (const event of events(response)) {
        broken = 0;
        if (event.id) last = event.id;
        if (event.data) tell(event.event, JSON.parse(event.data));
      }
      return last;
    } catch (error) {
      if (signal.aborted || !passing(error) || broken === PAUSES_MS.length) throw error;
      lost();
      await pause(PAUSES_MS[broken]);
    }
  }
}
