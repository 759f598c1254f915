// The camera: the portrait does as the person before it, at once; or a clip or a picture of them is taken for a job.

import { button, make } from "./elements.js";
import { live } from "./live.js";
import { clearError, tellError } from "./notices.js";
import { Capture, clock, picture, record } from "./recorder.js";
import { state } from "./state.js";
import { t } from "./words.js";

const FRAME_MS = 1000 / 15;
const SIDE = 640;
const CLIP_SECONDS = 30;

export class Webcam {
  #take;
  #options;
  #capture = null;
  #recording = null;
  #following = null; // what tells one time of it from the next
  #canvas = document.createElement("canvas");
  #video = make("video", { className: "self-view", muted: true, playsInline: true, "aria-label": t("webcam.view"), hidden: true });
  #switch = button(t("webcam.on"), { id: "camera-on" });
  #follow = button(t("webcam.follow"), { id: "follow-me" });
  #recenter = button(t("webcam.recenter"), { id: "recenter" });
  #clip = button(t("webcam.clip"), { id: "record-clip" });
  #photo = button(t("webcam.photo"), { id: "take-picture" });
  #time = make("span", { className: "time" });
  #said = make("p", { className: "quiet", role: "status" });

  // `take` is given the files that are made; `options` gives those of a live session.
  constructor({ take, options }) {
    this.#take = take;
    this.#options = options;
    const guarded = (act) => () => act().catch(tellError);
    this.#switch.addEventListener("click", guarded(async () => (this.#capture ? this.close() : this.#open())));
    this.#follow.addEventListener("click", guarded(async () => (this.#following ? this.#stopFollowing() : this.#startFollowing())));
    this.#recenter.addEventListener("click", () => live.recenter());
    this.#clip.addEventListener("click", guarded(async () => (this.#recording ? this.#recording.stop() : this.#recordClip())));
    this.#photo.addEventListener("click", guarded(() => this.#takePicture()));
    this.element = make("div", { className: "webcam" }, this.#video,
      make("div", { className: "buttons" }, this.#switch, this.#follow, this.#recenter, this.#clip, this.#photo, this.#time), this.#said);
    state.watch(["busy", "portrait", "canLive", "unseen"], ({ busy }) => {
      if (busy) this.#stopFollowing(); // a job needs the worker
      this.#show();
    });
  }

  close() {
    this.#capture?.close();
  }

  async #open() {
    clearError();
    this.#capture = await Capture.open({ video: true }, () => this.#closed());
    this.#video.srcObject = this.#capture.stream;
    await this.#video.play();
    this.#show();
  }

  #closed() {
    this.#stopFollowing();
    this.#capture = null;
    this.#video.srcObject = null;
    this.#show();
  }

  #show() {
    const on = Boolean(this.#capture);
    this.#video.hidden = !on;
    this.#switch.textContent = t(on ? "webcam.off" : "webcam.on");
    this.#follow.hidden = !on || !state.get("canLive");
    this.#follow.textContent = t(this.#following ? "webcam.follow-stop" : "webcam.follow");
    this.#follow.setAttribute("aria-pressed", String(Boolean(this.#following)));
    this.#follow.disabled = !state.get("portrait") || state.get("busy");
    this.#recenter.hidden = this.#said.hidden = !this.#following;
    this.#said.textContent = this.#following ? t(state.get("unseen") ? "webcam.no-face" : "webcam.look") : "";
    this.#clip.hidden = this.#photo.hidden = !on;
    this.#clip.textContent = t(this.#recording ? "webcam.clip-stop" : "webcam.clip");
    this.#time.hidden = !this.#recording;
    this.#photo.disabled = Boolean(this.#recording);
  }

  // The next picture is sent when the one before was taken, so none wait.
  async #startFollowing() {
    const mine = {};
    this.#following = mine;
    this.#show();
    live.drive("camera", this.#options());
    while (this.#following === mine) {
      const next = new Promise((resolve) => setTimeout(resolve, FRAME_MS));
      await live.camera(await picture(this.#video, this.#canvas, { side: SIDE, quality: 0.8 }));
      await next;
    }
  }

  #stopFollowing() {
    if (!this.#following) return;
    this.#following = null;
    if (!state.get("busy")) live.drive("controls");
    this.#show();
  }

  async #recordClip() {
    const tell = (seconds) => { this.#time.textContent = `${clock(seconds)} / ${clock(CLIP_SECONDS)}`; };
    this.#recording = record(this.#capture, { kind: "video", name: t("webcam.clip-name"), seconds: CLIP_SECONDS, tell });
    this.#show();
    const file = await this.#recording.file;
    this.#recording = null;
    this.#show();
    await this.#take(file);
  }

  async #takePicture() {
    const blob = await picture(this.#video, this.#canvas, { side: 1280, quality: 0.95 });
    await this.#take(new File([blob], t("camera.file"), { type: "image/jpeg" }));
  }
}
