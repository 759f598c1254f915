// The pose: values of the controls, set one by one or eased together, with steps to undo.

import { state } from "./state.js";

const EASE_MS = 250;
const DIGITS = 3; // finer than anybody sees

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const control = (name) => state.get("space")?.controls.find((each) => each.name === name);

export const value = (name) => state.get("controls")[name] ?? control(name)?.neutral ?? 0;

// Of some values those that this space has and that are not neutral, within their ranges.
export function fitting(values) {
  const kept = {};
  for (const [name, wanted] of Object.entries(values)) {
    const known = control(name);
    if (!known || !Number.isFinite(wanted)) continue;
    const within = Number(Math.min(known.maximum, Math.max(known.minimum, wanted)).toFixed(DIGITS));
    if (within !== known.neutral) kept[name] = within;
  }
  return kept;
}

let easing = 0; // of the animation frame that goes on with it
let aim = null; // where it leads

// The pose that is set, or that is being eased into.
export const pose = () => aim ?? state.get("controls");

// What the controls say, as a motion of the API.
export const asMotion = () => ({ space: state.get("space").space, controls: state.get("controls"), relative: true });

// Change some controls at once, as a hand does that moves them.
export function put(changes) {
  const values = fitting({ ...pose(), ...changes });
  stop();
  state.set({ controls: values });
}

function stop() {
  cancelAnimationFrame(easing);
  aim = null;
}

// Move to a whole pose, so that the portrait is seen to move into it.
function ease(target) {
  const from = state.get("controls");
  const to = fitting(target);
  stop();
  if (calm()) return state.set({ controls: to });
  aim = to;
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  const began = performance.now();
  const step = (now) => {
    const part = Math.min(1, Math.max(0, now - began) / EASE_MS);
    if (part === 1) {
      stop();
      return state.set({ controls: to });
    }
    const slowing = 1 - (1 - part) ** 3;
    const between = (name) => {
      const { neutral } = control(name);
      return (from[name] ?? neutral) * (1 - slowing) + (to[name] ?? neutral) * slowing;
    };
    easing = requestAnimationFrame(step);
    state.set({ controls: fitting(Object.fromEntries(names.map((name) => [name, between(name)]))) });
  };
  easing = requestAnimationFrame(step);
}

// Steps

const steps = [{}];
let at = 0;

const same = (one, other) => {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
};

const tell = () => state.set({ undo: at, redo: steps.length - 1 - at });

// A movement has ended: what is set now is a step that can be come back to.
export function keep() {
  if (same(steps[at], pose())) return;
  steps.splice(at + 1, Infinity, pose());
  at += 1;
  tell();
}

// Come to where is being eased to at once: what is made next is made of that.
export function settle() {
  const to = pose();
  stop();
  state.set({ controls: to });
}

// Ease to a pose, as one step.
export function take(target) {
  ease(target);
  keep();
}

function go(by) {
  if (!steps[at + by]) return;
  at += by;
  ease(steps[at]);
  tell();
}

export const undo = () => go(-1);
export const redo = () => go(1);
