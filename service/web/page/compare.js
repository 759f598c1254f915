// Before and after: hold a button or the key B, or draw a handle across the picture.

import { $, make } from "./elements.js";
import { state } from "./state.js";
import { numbers, t } from "./words.js";

const GRIP = 22; // pixels, half of the handle: no part of it leaves the box
const STEP = 0.05; // of the width, for keys
const percent = numbers({ style: "percent" });

const image = make("img", { className: "before", alt: "", draggable: false, hidden: true });
const handle = make("div", { id: "handle", role: "slider", tabIndex: 0, hidden: true, "aria-valuemin": 0, "aria-valuemax": 100 }, make("span", { className: "grip", "aria-hidden": "true" }));
const button = make("button", { type: "button", id: "before", className: "pill", hidden: true });
let share = 0; // of the width that shows what was before
let ratio = 1; // width to height of what is shown
let held = false;

// Where the picture lies in its box, of which it may leave a part free.
function place() {
  const box = $("picture").getBoundingClientRect();
  const width = Math.min(box.width, box.height * ratio);
  return { left: (box.width - width) / 2, width, box };
}

function draw() {
  const { left, width, box } = place();
  const edge = left + (held ? 1 : share) * width;
  image.style.clipPath = `inset(0 ${Math.max(0, box.width - edge)}px 0 0)`;
  const at = left + share * width;
  const grip = Math.min(Math.max(at, GRIP), box.width - GRIP);
  handle.style.left = `${grip}px`;
  handle.style.setProperty("--line", `${at - grip}px`);
  handle.setAttribute("aria-valuenow", Math.round(100 * share));
  handle.setAttribute("aria-valuetext", t("compare.share", { share: percent(share) }));
  button.setAttribute("aria-pressed", String(held));
  image.hidden = button.hidden || (!held && share === 0);
}

function hold(now) {
  if (button.hidden || held === now) return;
  held = now;
  draw();
}

function move(to) {
  share = Math.min(1, Math.max(0, to));
  draw();
}

// What was before the picture that is shown now, and whether a handle can be drawn between them.
export function setBefore(url, { ratio: now, handle: can }) {
  if (!url) return hideBefore();
  if (image.getAttribute("src") !== url) image.src = url;
  ratio = now;
  button.hidden = false;
  handle.hidden = !can;
  if (!can) share = 0;
  draw();
}

export function hideBefore() {
  held = false;
  share = 0;
  button.hidden = true;
  handle.hidden = true;
  draw();
}

const typing = (target) => target.matches("input:not([type=range]), textarea, select, [contenteditable]");

function listenToHandle() {
  const follow = (event) => {
    const { left, width, box } = place();
    move((event.clientX - box.left - left) / width);
  };
  handle.addEventListener("pointerdown", (event) => {
    event.stopPropagation(); // the head is not turned with it
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => handle.hasPointerCapture(event.pointerId) && follow(event));
  handle.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: share - STEP, ArrowRight: share + STEP, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(to);
  });
}

function listenToButton() {
  let pressed = false; // by a pointer, which holds; keys toggle
  const release = () => {
    if (pressed) hold(false);
    pressed = false;
  };
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    pressed = true;
    hold(true);
  });
  button.addEventListener("pointerup", release);
  button.addEventListener("pointercancel", release);
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // that a long touch brings
  button.addEventListener("click", (event) => event.detail === 0 && hold(!held));
  const key = (event) => event.key.toLowerCase() === "b" && !event.ctrlKey && !event.metaKey && !event.altKey && !typing(event.target);
  document.addEventListener("keydown", (event) => key(event) && hold(true));
  document.addEventListener("keyup", (event) => key(event) && hold(false));
}

export function fillCompare() {
  handle.setAttribute("aria-label", t("compare.handle"));
  button.append(t("compare.before"));
  button.title = t("compare.hint");
  $("picture").after(image, handle, button);
  listenToHandle();
  listenToButton();
  new ResizeObserver(draw).observe($("picture"));
  state.watch(["portrait"], () => { image.removeAttribute("src"); });
}
