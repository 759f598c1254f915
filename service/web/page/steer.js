// The picture taken by the hand: drawing turns the head, two fingers or the wheel bring it nearer, keys do both.

import { control, keep, put, value } from "./controls.js";
import { $ } from "./elements.js";
import { state } from "./state.js";
import { t } from "./words.js";

const TURN = 90; // degrees over the height of the stage
const ZOOM = 0.0015; // of the size, per pixel of the wheel
const WHEEL_RESTS_MS = 400;
const KEYS = { ArrowLeft: ["yaw", -1], ArrowRight: ["yaw", 1], ArrowUp: ["pitch", 1], ArrowDown: ["pitch", -1], "+": ["scale", 0.05], "-": ["scale", -0.05] };

const PARTS = "button, a, input, label, summary, video, [role=slider], [role=alert], #work"; // of the stage, that have hands of their own

const able = () => Boolean(state.get("portrait") && state.get("tab") === "pose" && control("yaw"));

const middle = (fingers) => {
  const [one, other = one] = fingers;
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
};

// Distance and direction from one finger to the other.
const spread = ([one, other]) => ({ far: Math.hypot(other.x - one.x, other.y - one.y), angle: Math.atan2(other.y - one.y, other.x - one.x) });

function began(fingers) {
  const from = { at: middle(fingers), yaw: value("yaw"), pitch: value("pitch"), roll: value("roll"), scale: value("scale") };
  return fingers.length > 1 ? { ...from, spread: spread(fingers) } : from;
}

function follow(from, fingers, height) {
  const at = middle(fingers);
  const changes = {
    yaw: from.yaw + ((at.x - from.at.x) / height) * TURN,
    pitch: from.pitch - ((at.y - from.at.y) / height) * TURN,
  };
  if (from.spread) {
    const { far, angle } = spread(fingers);
    const turned = ((angle - from.spread.angle) * 180) / Math.PI;
    changes.scale = (from.scale * far) / from.spread.far;
    changes.roll = from.roll + ((turned + 540) % 360) - 180;
  }
  put(changes);
}

function listenToPointers(frame) {
  const fingers = new Map();
  let from = null;
  const start = () => { from = fingers.size ? began([...fingers.values()]) : null; };
  frame.addEventListener("pointerdown", (event) => {
    if (!able() || event.button || event.target.closest(PARTS) || fingers.size === 2) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    frame.setPointerCapture(event.pointerId);
    start();
  });
  frame.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    frame.classList.add("held");
    follow(from, [...fingers.values()], frame.clientHeight);
  });
  const end = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    start();
    if (from) return;
    frame.classList.remove("held");
    keep();
  };
  frame.addEventListener("pointerup", end);
  frame.addEventListener("pointercancel", end);
}

// The wheel alone scrolls the page, unless the picture has the focus. A touchpad's pinch comes with Ctrl.
function listenToWheel(frame) {
  let resting = 0;
  frame.addEventListener("wheel", (event) => {
    if (!able() || !(event.ctrlKey || document.activeElement === frame)) return;
    event.preventDefault();
    put({ scale: value("scale") * (1 - event.deltaY * (event.ctrlKey ? 4 : 1) * ZOOM) });
    clearTimeout(resting);
    resting = setTimeout(keep, WHEEL_RESTS_MS);
  }, { passive: false });
}

function listenToKeys(frame) {
  frame.addEventListener("keydown", (event) => {
    const [name, step] = KEYS[event.key] ?? [];
    if (!name || !able() || event.target.closest(PARTS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    put({ [name]: value(name) + step * (event.shiftKey && event.key !== "+" ? 5 : 1) });
  });
  frame.addEventListener("keyup", (event) => event.key in KEYS && keep());
}

export function fillSteer() {
  const frame = $("frame");
  listenToPointers(frame);
  listenToWheel(frame);
  listenToKeys(frame);
  state.watch(["portrait", "tab", "space"], () => {
    frame.classList.toggle("steered", able());
    $("stage-note").textContent = able() ? t("stage.hint") : "";
    frame.setAttribute("aria-label", able() ? t("stage.steer") : t("stage.label"));
    if (able()) frame.tabIndex = 0;
    else frame.removeAttribute("tabindex");
  });
}
