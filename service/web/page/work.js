// What is seen of a job while it is worked on: its stage, how far it is, the time left, and a button to stop it.

import { $, make } from "./elements.js";
import { announce } from "./notices.js";
import { has, quantity, t } from "./words.js";

const SMOOTHING = 0.3; // how much the latest pace counts
const TRUSTED_MS = 1500; // a pace is told after so long

// How long a stage will still take, in seconds, by how fast it went of late; null where that is not known.
class Pace {
  #stage = null;
  #began = 0;
  #before = null;
  #rate = null; // units in a millisecond

  left({ stage, done, total }, now) {
    if (stage !== this.#stage) {
      this.#stage = stage;
      this.#began = now;
      this.#before = null;
      this.#rate = null;
    }
    if (this.#before && now > this.#before.now && done > this.#before.done) {
      const rate = (done - this.#before.done) / (now - this.#before.now);
      this.#rate = this.#rate === null ? rate : SMOOTHING * rate + (1 - SMOOTHING) * this.#rate;
    }
    if (!this.#before || done !== this.#before.done) this.#before = { done, now };
    return total && this.#rate && now - this.#began > TRUSTED_MS ? (total - done) / this.#rate / 1000 : null;
  }
}

// Seconds in words that do not jump about.
function timeLeft(seconds) {
  if (seconds < 5) return t("work.left-few");
  const time = seconds < 55 ? quantity(Math.ceil(seconds / 5) * 5, "second") : quantity(Math.max(1, Math.round(seconds / 60)), "minute");
  return t("work.left", { time });
}

export class Work {
  #pace = new Pace();
  #announced = null;
  #stage = make("span", { className: "work-stage", id: "work-stage" });
  #left = make("span", { className: "quiet" });
  #bar = make("progress", { max: 1, "aria-labelledby": "work-stage" });

  constructor(words, cancel) {
    const button = make("button", { type: "button", id: "cancel", className: "plain", textContent: t("work.cancel") });
    button.addEventListener("click", () => {
      button.disabled = true;
      this.#say(t("work.canceling"));
      cancel();
    });
    $("work").replaceChildren(make("p", { className: "work-words" }, this.#stage, this.#left), this.#bar, button);
    button.focus({ preventScroll: true });
    this.#say(words);
  }

  // A job that waits, as the API shows it.
  waiting({ queue_position: before, estimated_wait_s: seconds }) {
    const words = before ? t("work.waiting-behind", { before }) : t("work.waiting");
    this.#show(words, seconds > 5 ? timeLeft(seconds) : "", t("work.waiting"));
  }

  progress({ stage, done, total }) {
    const words = t(has(`work.stage-${stage}`) ? `work.stage-${stage}` : "work.running");
    const seconds = this.#pace.left({ stage, done, total }, performance.now());
    this.#show(words, seconds === null ? "" : timeLeft(seconds));
    if (total > 1) this.#bar.value = done / total;
    else this.#bar.removeAttribute("value");
  }

  lost() {
    this.#say(t("work.lost"));
  }

  // Take it away. Whether the focus was in it, and so has to go elsewhere.
  close() {
    const focused = $("work").contains(document.activeElement) || document.activeElement === document.body;
    $("work").replaceChildren();
    return focused;
  }

  #say(words) {
    this.#show(words, "");
    this.#bar.removeAttribute("value");
  }

  // `spoken`: what screen readers hear, once
  #show(words, left, spoken = words) {
    this.#stage.textContent = words;
    this.#left.textContent = left;
    if (spoken === this.#announced) return;
    this.#announced = spoken;
    announce(spoken);
  }
}
