// A live session: it is there when something moves the portrait, and finds its way back by itself when the line breaks.

import { json, passing, Problem } from "./api.js";
import { $ } from "./elements.js";
import { Line } from "./line.js";
import { Meter } from "./meter.js";
import { tellError } from "./notices.js";
import { forgetPortraitId, portraitId } from "./portrait.js";
import { keepRest, showLive, showPortrait, shows } from "./stage.js";
import { state } from "./state.js";

const SIZE = 512; // pixels, of the square around the face
const PACE_MS = 20; // between two states: as often as a screen shows, and with sound and camera below what is taken
const AGAIN_MS = [250, 500, 1000, 2000, 4000]; // waits before a broken line is tried again
const LATER_MS = 20_000; // before a service that had no room, or no live sessions, is asked again
const IDLE_MS = 45_000; // who has not moved for so long needs no line
const REFUSED = 1008; // of close codes: the same would be refused again
const OF_THE_PORTRAIT = ["no-face", "unreadable-media", "too-large", "unsupported-media"];

class Live {
  full = false; // sessions are offered, and all are taken
  #line = null;
  #opening = false;
  #number = 0; // of the newest state that was sent
  #values = {}; // of the controls
  #dirty = false; // they changed since they were sent
  #since = null; // pictures from this number on take the stage; null: none is due
  #rest = 0; // number of the state in which nothing moves; pictures of it are kept to compare with
  #rested = false;
  #drive = { by: "controls", options: {} };
  #timer = 0;
  #sentAt = 0;
  #failures = 0;
  #retry = null; // the timer of what is tried later
  #movedAt = 0;
  #refused = null; // the portrait that no session can be had of
  #meter = null;

  async open() {
    const portrait = state.get("portrait");
    if (this.#line || this.#opening || this.#retry || !portrait || state.get("busy") || portrait.file === this.#refused || !state.get("canLive") || !state.get("space")) return;
    this.#opening = true;
    state.set({ live: "waiting" });
    try {
      const [id, { most }] = await Promise.all([portraitId(), json("v1/live")]); // of a line that is refused no page learns why
      if (!most) this.#later({ full: false });
      else if (state.get("portrait")?.file === portrait.file && !state.get("busy")) this.#connect(id);
    } catch (error) {
      if (passing(error)) this.#again();
      else if (this.#since !== null) tellError(error); // somebody waits for it
    } finally {
      this.#opening = false;
      if (!this.#line && !this.#retry) state.set({ live: "off" });
    }
  }

  #connect(id) {
    this.#meter ??= new Meter($("stage"));
    const ours = (tell) => (...told) => {
      if (this.#line === line) tell(...told);
      else told[1]?.close?.(); // of a line that was left: its picture
    };
    const line = new Line({ portrait_id: id, options: { size: SIZE, face: state.get("options").face ?? null } }, {
      said: ours((message) => this.#said(message)),
      picture: ours((...picture) => this.#picture(...picture)),
      closed: ours((end) => this.#closed(end)),
    });
    this.#line = line;
  }

  close() {
    if (this.can) this.#try(null); // else it is found out after a while whether there is room
    const line = this.#line;
    this.#line = null;
    line?.close();
    this.#drive = { by: "controls", options: {} };
    this.#since = null;
    state.set({ live: "off", unseen: false });
  }

  // Move the face: the newest values count, and they leave as soon as the line is free.
  controls(values) {
    this.#values = values;
    this.#dirty = true;
    this.#moved();
    this.#send();
  }

  // The portrait takes the stage, in the pose that is set.
  show() {
    showPortrait();
    if (Object.keys(this.#values).length) this.controls(this.#values);
  }

  drive(by, options = {}) {
    this.#drive = { by, options };
    this.#moved();
    this.#line?.say({ type: "drive", by, options });
  }

  sound(samples) {
    this.#movedAt = performance.now();
    this.#line?.sound(samples);
  }

  camera(jpeg) {
    this.#movedAt = performance.now();
    this.#line?.camera(jpeg);
  }

  recenter() {
    this.#line?.say({ type: "recenter" });
  }

  #moved() {
    this.#movedAt = performance.now();
    if (shows() !== "live") this.#since = Math.min(this.#since ?? Infinity, this.#number + (this.#drive.by === "controls" ? 1 : 0));
    this.open();
  }

  // Sent at once where it can be: to wait for the picture before would add its time, and a worker that draws reads only
  // the newest state anyway. What has not left the browser yet is not added to.
  #send() {
    if (!this.#dirty || this.#timer || state.get("live") !== "on") return;
    const wait = Math.max(0, this.#sentAt + PACE_MS - performance.now());
    if (wait || !this.#line.free) {
      this.#timer = setTimeout(() => {
        this.#timer = 0;
        this.#send();
      }, wait || PACE_MS);
      return;
    }
    this.#dirty = false;
    this.#sentAt = performance.now();
    this.#say(this.#values);
  }

  #say(controls) {
    this.#number += 1;
    this.#meter.sent(this.#number);
    this.#line.say({ type: "controls", controls, relative: true, number: this.#number });
  }

  #said(message) {
    if (message.type === "waiting") state.set({ live: "waiting" });
    else if (message.type === "started") this.#started();
  }

  #started() {
    this.#failures = 0;
    this.full = false;
    if (!this.#rested) {
      this.#say({});
      this.#rest = this.#number;
    }
    if (this.#drive.by !== "controls") this.#line.say({ type: "drive", ...this.#drive });
    state.set({ live: "on" });
    this.#dirty = this.#rested || Object.keys(this.#values).length > 0 || this.#since !== null; // a new line knows no number
    this.#send();
  }

  #picture({ number, seen }, bitmap, jpeg) {
    state.set({ unseen: this.#drive.by === "camera" && !seen });
    if (!this.#rested && number === this.#rest) {
      this.#rested = true;
      keepRest(jpeg);
    }
    const due = this.#since !== null && (number ?? 0) >= this.#since;
    if (!due && shows() !== "live") return bitmap.close(); // a result is shown that the hand has not moved on from
    this.#since = null;
    showLive(bitmap);
    this.#meter.shown(number ?? 0);
  }

  #closed({ code, opened, problem }) {
    this.#line = null;
    state.set({ live: "off", unseen: false });
    const refusal = problem && new Problem(problem.status, problem);
    const type = refusal?.type;
    if (OF_THE_PORTRAIT.includes(type)) {
      this.#refused = state.get("portrait")?.file;
      return tellError(refusal);
    }
    if (type === "no-such-portrait") forgetPortraitId();
    else if (refusal && code === REFUSED && type !== "live-unavailable") return; // idle, for instance: the next movement opens another
    if (type === "live-unavailable" || (!opened && this.#failures > 0)) this.#later({ full: Boolean(refusal?.got?.workers) });
    else if (code !== 1000) this.#again();
  }

  get #needed() {
    return !state.get("busy") && performance.now() - this.#movedAt < IDLE_MS;
  }

  // Do this after a while, if nothing else is to be done by then.
  #try(what, wait = 0) {
    clearTimeout(this.#retry);
    this.#retry = what && setTimeout(() => {
      this.#retry = null;
      what();
    }, wait);
  }

  #again() {
    if (!this.#needed) return;
    const wait = AGAIN_MS[Math.min(this.#failures, AGAIN_MS.length - 1)];
    this.#failures += 1;
    state.set({ live: "waiting" });
    this.#try(() => this.open(), wait * (0.75 + Math.random() / 2)); // not all pages at the same moment
  }

  #later({ full }) {
    this.full = full;
    state.set({ live: "off", canLive: false });
    this.#try(() => {
      this.#failures = 0;
      state.set({ canLive: true });
      if (this.#needed) this.open();
    }, LATER_MS);
  }

  // Another portrait: its session is opened once it is kept, so that the first movement is seen at once.
  turnTo(portrait) {
    this.close();
    this.#rested = false;
    this.#refused = null;
    if (!portrait) return;
    if (Object.keys(this.#values).length) this.#moved();
    else if (portrait.id) this.open();
  }
}

export const live = new Live();

export function fillLive() {
  let file = null; // of the portrait that the session is about
  let face = null;
  state.watch(["portrait", "options"], ({ portrait, options }) => {
    if (portrait?.file !== file || (options.face ?? null) !== face) {
      file = portrait?.file;
      face = options.face ?? null;
      live.turnTo(portrait);
    } else if (portrait?.id) {
      live.open();
    }
  });
  state.watch(["space", "busy"], () => live.open()); // a job takes the place of the session, which comes back after it
}
