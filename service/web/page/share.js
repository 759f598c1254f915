// The address says what is on the page: #tab=speech&job=ID&pose=yaw:20,smile:0.6. It can be loaded again and sent to
// others; there are no secrets in it.

import { resume } from "./jobs.js";
import { make } from "./elements.js";
import { announce } from "./notices.js";
import { restoreLast } from "./portrait.js";
import { state } from "./state.js";
import { t } from "./words.js";

const TABS = ["pose", "speech", "follow"];
const ID = /^[0-9a-f]{32}$/;

const rounded = (number) => Number(number.toFixed(3));

// {yaw: 20, smile: 0.6} as "yaw:20,smile:0.6"
const written = (controls) => Object.entries(controls).map(([name, value]) => `${name}:${rounded(value)}`).join();

// The controls of a pose as it is written, those that the renderer has and within their ranges.
function read(pose, space) {
  const given = Object.fromEntries(pose.split(",").map((each) => each.split(":")));
  const known = space.controls.filter(({ name }) => Number.isFinite(Number.parseFloat(given[name])));
  return Object.fromEntries(known.map(({ name, minimum, maximum }) => [name, Math.min(maximum, Math.max(minimum, Number.parseFloat(given[name])))]));
}

// The address with these parts in place of what it has; those that are null are left out.
function address(parts) {
  const hash = Object.entries(parts).filter(([, value]) => value).map(([name, value]) => `${name}=${value}`);
  return `${location.pathname}${location.search}${hash.length ? `#${hash.join("&")}` : ""}`;
}

const here = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

const whole = (parts) => new URL(address(parts), location.href).href;

// Where others find the pose as it is now, and a job of the same owner.
export const poseLink = () => whole({ pose: written(state.get("controls")) });
export const jobLink = (id) => whole({ job: id });

// A button that copies a text; the button says so.
export function copyButton(label, text) {
  const button = make("button", { type: "button", className: "plain" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      window.prompt(label, text()); // where the browser keeps the clipboard to itself
      return;
    }
    announce(t("share.copied"));
    button.textContent = t("share.copied");
    setTimeout(() => { button.textContent = label; }, 2000);
  });
  return button;
}

// Bring the page to what the address says.
async function follow() {
  const { tab, job, pose } = here();
  if (TABS.includes(tab)) state.set({ tab });
  if (pose) whenThere("space", (space) => state.set({ controls: read(pose, space) }));
  if (ID.test(job) && job !== state.get("job")?.id) await resume(job);
  if (!job && state.get("job")) state.set({ job: null });
}

function whenThere(name, run) {
  let done = false;
  state.watch([name], (values) => {
    if (done || !values[name]) return;
    done = true;
    queueMicrotask(() => run(values[name])); // not amid what others are told
  });
}

// Read the address once, then keep it: jobs and tabs are steps to go back to, a pose is not.
export async function keepAddress() {
  await restoreLast();
  await follow();
  let started = false;
  state.watch(["job", "tab", "controls"], ({ job, tab, controls, space }) => {
    if (!started) return;
    const before = here();
    const pose = space ? written(controls) : before.pose;
    const parts = { tab: tab === "pose" ? null : tab, job: job?.id, pose };
    if (address(parts) === address(before)) return;
    const step = (before.job ?? null) !== (parts.job ?? null) || (before.tab ?? null) !== parts.tab;
    history[step ? "pushState" : "replaceState"](null, "", address(parts));
  });
  started = true;
  window.addEventListener("popstate", follow);
}
