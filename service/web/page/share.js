// The address says what is on the page: #tab=speech&job=ID&pose=yaw:20,smile:0.6. It can be loaded again and sent to
// others; there are no secrets in it.

import { fitting, keep } from "./controls.js";
import { make } from "./elements.js";
import { resume } from "./jobs.js";
import { live } from "./live.js";
import { announce } from "./notices.js";
import { restoreLast, restorePortraitOf } from "./portrait.js";
import { state } from "./state.js";
import { TABS } from "./tabs.js";
import { t } from "./words.js";

const ID = /^[0-9a-f]{32}$/;
const RESTS_MS = 500; // a pose that moves is not written at every step
const COPIED_MS = 2000;

// {yaw: 20, smile: 0.6} as "yaw:20,smile:0.6", and back
const written = (pose) => Object.entries(pose).map(([name, value]) => `${name}:${Number(value.toFixed(3))}`).join();
const read = (text) => Object.fromEntries(text.split(",").map((each) => each.split(":")).map(([name, value]) => [name, Number.parseFloat(value)]));

const here = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

// The page's address with these parts, those that are set.
function address(parts) {
  const set = Object.entries(parts).filter(([, value]) => value).map(([name, value]) => `${name}=${value}`);
  return new URL(set.length ? `#${set.join("&")}` : location.pathname + location.search, location.href).href;
}

// Where a job is found by those who may see it.
export const jobLink = (id) => address({ job: id });

// A button that copies a text, and says that it did.
export function copyButton(label, text) {
  const button = make("button", { type: "button", className: "plain" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      window.prompt(label, text()); // the clipboard is for pages that come by https
      return;
    }
    announce(t("share.copied"));
    button.textContent = t("share.copied");
    setTimeout(() => { button.textContent = label; }, COPIED_MS);
  });
  return button;
}

// Bring a job to the stage, with its portrait if there is none.
export async function openJob(id) {
  await restorePortraitOf(id).catch(() => {}); // what is wrong with the job is told next
  await resume(id);
}

let coming = null; // the job that the address asks for, until it is on the stage

// Bring the page to the tab and the job that the address names.
function follow() {
  const { tab, job } = here();
  state.set({ tab: TABS.includes(tab) ? tab : "pose" });
  const shown = state.get("job")?.id;
  if (ID.test(job) && job !== shown) {
    coming = job;
    openJob(job).finally(() => {
      coming = null;
      write();
    });
  } else if (!job && shown) {
    state.set({ job: null });
    live.show();
  }
}

// Take the pose that the address has, once it is known what can be moved.
function followPose() {
  const { pose } = here();
  return new Promise((done) => {
    if (!pose) done();
    let due = true;
    state.watch(["space"], ({ space }) => {
      if (!space || !pose || !due) return;
      due = false;
      queueMicrotask(() => { // when all have been told of the space
        state.set({ controls: fitting(read(pose)) });
        keep();
        done();
      });
    });
  });
}

// Write the address, as a step to go back from where the tab or the job is another one.
function write({ step = true } = {}) {
  const before = here();
  const tab = state.get("tab");
  const pose = state.get("space") ? written(state.get("controls")) : before.pose;
  const parts = { tab: tab === "pose" ? undefined : tab, job: state.get("job")?.id ?? coming ?? undefined, pose };
  if (address(parts) === location.href) return;
  const other = before.tab !== parts.tab || before.job !== parts.job;
  history[step && other ? "pushState" : "replaceState"](null, "", address(parts));
}

// Read the address, then keep it.
export async function keepAddress() {
  await restoreLast();
  await followPose();
  follow();
  write({ step: false });
  let resting = 0;
  state.watch(["controls"], () => {
    clearTimeout(resting);
    resting = setTimeout(write, RESTS_MS);
  });
  state.watch(["job", "tab"], () => write());
  addEventListener("popstate", follow);
}
