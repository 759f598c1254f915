// The tab "Pose": poses by name, sliders, and the picture that is made of them.

import { asMotion, keep, redo, settle, take, undo } from "./controls.js";
import { $, make } from "./elements.js";
import { run } from "./jobs.js";
import { live } from "./live.js";
import { moreOptions } from "./options.js";
import { named, presets } from "./presets.js";
import { sliders } from "./sliders.js";
import { state } from "./state.js";
import { t } from "./words.js";

const SETTLED_MS = 600; // without live pictures: after so long without a change the hand rests
const OPTIONS = ["paste_back", "size", "format", "label"];
const FORMATS = ["png", "jpeg", "webp"];

function ready() {
  return Boolean(state.get("portrait") && state.get("space") && !state.get("busy"));
}

// Where no live pictures come, the picture follows the pose once one was made by hand: call what it returns then.
function followWithout(makePicture) {
  let asked = false;
  let timer = 0;
  let due = false;
  const follow = () => {
    if (!ready()) return;
    due = false;
    makePicture();
  };
  state.watch(["portrait"], () => { asked = false; });
  state.watch(["controls"], () => {
    clearTimeout(timer);
    if (!asked || state.get("canLive")) return;
    due = true;
    timer = setTimeout(follow, SETTLED_MS);
  });
  state.watch(["busy"], ({ busy }) => {
    if (!busy && due) follow();
  });
  return () => { asked = true; };
}

function tool(name, sign, act) {
  const button = make("button", { type: "button", id: `pose-${name}`, className: "icon", title: t(`pose.${name}`), "aria-label": t(`pose.${name}`) }, sign);
  button.addEventListener("click", () => button.getAttribute("aria-disabled") === "true" || act());
  return button;
}

// Disabled for all to see and hear, and yet the focus does not fall off it.
const able = (button, can) => button.setAttribute("aria-disabled", String(!can));

function actions(makePicture) {
  const asked = followWithout(makePicture);
  const back = tool("undo", "↶", undo);
  const forth = tool("redo", "↷", redo);
  const rest = tool("reset", "⟲", () => take({}));
  const submit = make("button", { type: "button", id: "make-picture", className: "main" }, t("pose.make"));
  submit.addEventListener("click", () => {
    if (!ready()) return;
    asked();
    settle();
    keep();
    makePicture();
  });
  state.watch(["undo", "redo"], (now) => {
    able(back, now.undo > 0);
    able(forth, now.redo > 0);
  });
  state.watch(["controls"], ({ controls }) => able(rest, Object.keys(controls).length > 0));
  state.watch(["portrait", "space", "busy"], () => able(submit, ready()));
  return make("div", { className: "actions" }, back, forth, rest, submit);
}

// Words for what cannot be had just now, in the place where it is missed.
function standing() {
  const note = make("p", { className: "note", id: "live-note" });
  state.watch(["canLive", "portrait", "space"], ({ canLive, portrait, space }) => {
    note.hidden = canLive || !portrait || !space;
    note.textContent = canLive ? "" : t(live.full ? "live.full" : "live.none");
  });
  return note;
}

function keys(event) {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  if (state.get("tab") !== "pose" || event.target.matches("textarea, input:not([type=range])")) return;
  event.preventDefault();
  (event.shiftKey ? redo : undo)();
}

// Fill the tab's panel as soon as it is known what can be moved.
export function fillPose(panel) {
  const controls = make("div", { id: "controls" }, make("p", { className: "note" }, t("pose.loading")));
  const more = moreOptions("pose", OPTIONS, { formats: FORMATS });
  const makePicture = () => run("images", { motion: asMotion(), options: more.values() }, { what: named() ?? "pose" });
  panel.append(controls, actions(makePicture));
  state.watch(["space"], ({ space }) => {
    if (!space) return;
    const sides = make("p", { className: "note" }, t("pose.sides"));
    controls.replaceChildren(presets(space), standing(), ...sliders(space), more.element, sides);
  });
  let first = true; // that nothing is set is no movement
  state.watch(["controls"], ({ controls: values }) => {
    if (!first) live.controls(values);
    first = false;
  });
  document.addEventListener("keydown", keys);
}
