// Poses with names. One of the head and one of the face can hold together: a smile to the left.

import { pose, take } from "./controls.js";
import { make } from "./elements.js";
import { drawFace } from "./face.js";
import { state } from "./state.js";
import { t } from "./words.js";

const HEAD = ["yaw", "pitch", "roll", "x", "y", "scale", "gaze_x", "gaze_y"]; // all else is the face's

const PRESETS = [
  ["left", { yaw: -14, gaze_x: -0.5 }],
  ["right", { yaw: 14, gaze_x: 0.5 }],
  ["up", { pitch: 9, gaze_y: 0.5 }],
  ["down", { pitch: -12, gaze_y: -0.5 }],
  ["smile", { smile: 1 }],
  ["laugh", { smile: 1, jaw_open: 0.35, blink_left: 0.25, blink_right: 0.25 }],
  ["wink", { blink_left: 1, smile: 0.7 }],
  ["surprised", { brow_raise: 1, jaw_open: 0.45 }],
  ["sad", { frown: 1, brow_raise: 0.7, blink_left: 0.35, blink_right: 0.35 }],
  ["kiss", { pucker: 1, blink_left: 0.3, blink_right: 0.3 }],
  ["stern", { brow_lower: 1, frown: 0.8, blink_left: 0.2, blink_right: 0.2 }],
  ["closed", { blink_left: 1, blink_right: 1 }],
];

const ofHead = (name) => HEAD.includes(name);

function choose(values) {
  const head = Object.keys(values).every(ofHead);
  const others = Object.entries(pose()).filter(([name]) => ofHead(name) !== head);
  take({ ...Object.fromEntries(others), ...(holds(values) ? {} : values) });
}

// Whether the pose is this one, as far as it says something.
function holds(values) {
  const head = Object.keys(values).every(ofHead);
  const own = Object.entries(pose()).filter(([name]) => ofHead(name) === head);
  return own.length === Object.keys(values).length && own.every(([name, value]) => values[name] === value);
}

// The names of the presets that the pose is made of, as "left-smile"; null where it is made by hand.
export function named() {
  const names = PRESETS.filter(([, values]) => holds(values)).map(([name]) => name);
  return names.join("-") || null;
}

// Buttons of those presets that this motion space can show.
export function presets(space) {
  const known = new Set(space.controls.map((each) => each.name));
  const offered = PRESETS.filter(([, values]) => Object.keys(values).every((name) => known.has(name)));
  const buttons = offered.map(([name, values]) => {
    const button = make("button", { type: "button", className: "preset", dataset: { preset: name } }, drawFace(values), t(`preset.${name}`));
    button.addEventListener("click", () => choose(values));
    return [button, values];
  });
  state.watch(["controls"], () => {
    for (const [button, values] of buttons) button.setAttribute("aria-pressed", String(holds(values)));
  });
  return make("div", { className: "presets", role: "group", "aria-label": t("pose.presets") }, ...buttons.map(([button]) => button));
}
