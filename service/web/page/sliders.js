// Sliders of the controls, in people's words and grouped by what they move.

import { control, keep, put, take, pose, value } from "./controls.js";
import { make } from "./elements.js";
import { state } from "./state.js";
import { has, numbers, t } from "./words.js";

const GROUPS = [
  ["head", ["yaw", "pitch", "roll", "scale", "x", "y"]],
  ["mouth", ["smile", "jaw_open", "pucker", "frown"]],
  ["eyes", ["gaze_x", "gaze_y", "blink_right", "blink_left"]],
  ["brows", ["brow_raise", "brow_lower"]],
];
const SNAP = 0.02; // of the range: so near to it a hand means the neutral value

const degrees = (known) => known.unit.startsWith("deg");
const stepOf = (known) => (degrees(known) ? 1 : 0.05);
const angle = numbers({ style: "unit", unit: "degree", unitDisplay: "narrow", maximumFractionDigits: 0, signDisplay: "negative" });
const percent = numbers({ style: "percent", signDisplay: "negative" }); // no minus before a zero
const readable = (known, number) => (degrees(known) ? angle(number) : percent(number));
const words = (name, part, otherwise) => (has(`control.${name}.${part}`) ? t(`control.${name}.${part}`) : otherwise);

// From one step to the next: 12.3 degrees go to 13.
function stepped(known, key, large) {
  const step = stepOf(known) * (large ? 5 : 1);
  const now = value(known.name);
  const up = { ArrowRight: 1, ArrowUp: 1, PageUp: 5, ArrowLeft: -1, ArrowDown: -1, PageDown: -5 }[key];
  if (up) return Math.round((now + up * step) / stepOf(known)) * stepOf(known);
  return { Home: known.minimum, End: known.maximum }[key];
}

function listen(input, known) {
  input.addEventListener("input", () => {
    const number = Number(input.value);
    const near = Math.abs(number - known.neutral) < SNAP * (known.maximum - known.minimum);
    put({ [known.name]: near ? known.neutral : number });
  });
  input.addEventListener("change", keep);
  input.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = stepped(known, event.key, event.shiftKey);
    if (next === undefined) return;
    event.preventDefault();
    put({ [known.name]: next });
  });
  input.addEventListener("keyup", keep);
}

function slider(known) {
  const { name, minimum, maximum, neutral } = known;
  const label = words(name, "name", name.replaceAll("_", " "));
  const at = (number) => `${(100 * (number - minimum)) / (maximum - minimum)}%`;
  const input = make("input", { type: "range", id: `control-${name}`, min: minimum, max: maximum, step: "any", value: neutral });
  input.dataset.control = name; // any step: a hand moves it smoothly, keys have steps of their own
  const number = make("span", { className: "value", "aria-hidden": "true" });
  const reset = make("button", { type: "button", className: "reset", title: t("pose.reset-one"), "aria-label": t("pose.reset-this", { name: label }) }, "↺");
  const neutralise = () => take({ ...pose(), [name]: neutral });
  reset.addEventListener("click", () => {
    neutralise();
    input.focus(); // the button goes
  });
  input.addEventListener("dblclick", neutralise);
  listen(input, known);
  state.watch(["controls"], () => {
    const now = value(name);
    const ends = [now, neutral].sort((one, other) => one - other);
    input.value = now;
    input.style.setProperty("--from", at(ends[0]));
    input.style.setProperty("--to", at(ends[1]));
    input.setAttribute("aria-valuetext", readable(known, now));
    number.textContent = readable(known, now);
    reset.classList.toggle("idle", now === neutral);
    reset.tabIndex = now === neutral ? -1 : 0;
  });
  return make(
    "div",
    { className: "slider", title: words(name, "name", known.description) },
    make("label", { htmlFor: input.id }, label),
    number,
    reset,
    make("span", { className: "end", "aria-hidden": "true" }, words(name, "low", "")),
    input,
    make("span", { className: "end high", "aria-hidden": "true" }, words(name, "high", "")),
  );
}

// All controls of the space, those that nobody has words for under their own names.
export function sliders(space) {
  const named = GROUPS.flatMap(([, names]) => names);
  const others = space.controls.map((each) => each.name).filter((name) => !named.includes(name));
  return [...GROUPS, ["others", others]]
    .map(([group, names]) => [group, names.map(control).filter(Boolean)])
    .filter(([, known]) => known.length)
    .map(([group, known], index) => {
      const mark = make("span", { className: "changed" });
      state.watch(["controls"], ({ controls }) => {
        const changed = known.filter(({ name }) => name in controls).length;
        mark.textContent = changed ? t("pose.changed", { count: changed }) : "";
      });
      const summary = make("summary", {}, t(`group.${group}`), mark);
      return make("details", { className: "group", open: index === 0, dataset: { group } }, summary, ...known.map(slider));
    });
}
