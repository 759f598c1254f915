// The microphone and the camera: opened with leave, heard and seen, recorded. They are let go of as soon as nobody needs
// them, when the tab changes and when the page hides.

import { make } from "./elements.js";
import { Refusal } from "./notices.js";
import { state } from "./state.js";
import { t } from "./words.js";

const RATE = 16_000; // of the sound that live portraits hear, in hertz
const NYQUIST_HZ = 7000; // what is above is taken out before
const BUTTERWORTH_DB = [-5.3, 2.3]; // the resonances of a low-pass of the fourth order, in two halves
const METER_FLOOR_DB = -50;
const KINDS = {
  audio: ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"],
  video: ["video/webm;codecs=vp9,opus", "video/webm;codecs=vp8,opus", "video/mp4"],
};
const SUFFIX = { "audio/webm": "webm", "audio/mp4": "m4a", "audio/ogg": "ogg", "video/webm": "webm", "video/mp4": "mp4" };
const WORDS = {
  NotAllowedError: "not-allowed", SecurityError: "not-allowed", NotFoundError: "none", OverconstrainedError: "none",
  NotReadableError: "in-use", AbortError: "in-use",
};

const open = new Set();

// Let go of whatever is open.
export const release = () => [...open].forEach((capture) => capture.close());

let tab = state.get("tab");
state.watch(["tab"], (values) => {
  if (values.tab !== tab) release();
  tab = values.tab;
});
document.addEventListener("visibilitychange", () => document.hidden && release());
addEventListener("pagehide", release);

// A microphone, a camera, or both, while they are open.
export class Capture {
  #gone;
  #endings = [];

  // `gone` is told when it is let go of. Throws a Refusal, in words for people.
  static async open({ audio = false, video = false }, gone = () => {}) {
    const device = video ? "camera" : "microphone";
    if (!navigator.mediaDevices) throw new Refusal(t(`device.${device}.insecure`));
    try {
      const voice = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
      const picture = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
      return new Capture(await navigator.mediaDevices.getUserMedia({ audio: audio && voice, video: video && picture }), gone);
    } catch (error) {
      throw new Refusal(t(`device.${device}.${WORDS[error.name] ?? "in-use"}`));
    }
  }

  constructor(stream, gone) {
    this.stream = stream;
    this.#gone = gone;
    open.add(this);
    for (const track of stream.getTracks()) track.addEventListener("ended", () => this.close()); // unplugged, or leave was taken
  }

  // Do this too when it is let go of.
  before(ending) {
    this.#endings.push(ending);
  }

  close() {
    if (!open.delete(this)) return;
    for (const ending of this.#endings) ending();
    for (const track of this.stream.getTracks()) track.stop();
    this.#gone();
  }
}

// Show how loud it is, as long as the capture is open. `tell` is told the level, from 0 to 1, at each picture.
export function meter(capture, tell) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(capture.stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let due = 0;
  const look = () => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    tell(Math.min(1, Math.max(0, 1 - (10 * Math.log10(power + 1e-9)) / METER_FLOOR_DB)));
    due = requestAnimationFrame(look);
  };
  look();
  capture.before(() => {
    cancelAnimationFrame(due);
    tell(0);
    context.close();
  });
}

// Hear it as `tell`(Int16Array), mono at 16 kHz, some 60 ms at a time.
export async function listen(capture, tell) {
  const context = new AudioContext();
  capture.before(() => context.close());
  await context.audioWorklet.addModule(new URL("./pcm-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit", processorOptions: { rate: RATE } });
  node.port.addEventListener("message", ({ data }) => tell(data));
  node.port.start();
  const passes = BUTTERWORTH_DB.map((Q) => new BiquadFilterNode(context, { type: "lowpass", frequency: NYQUIST_HZ, Q }));
  [...passes, node].reduce((before, next) => before.connect(next), context.createMediaStreamSource(capture.stream));
}

// Record to a file, until it is stopped or let go of, or for `seconds` at most. {stop(), file: Promise<File>}
export function record(capture, { kind, name, seconds, tell }) {
  const mimeType = KINDS[kind].find((each) => MediaRecorder.isTypeSupported(each));
  const recorder = new MediaRecorder(capture.stream, { mimeType });
  const parts = [];
  const began = performance.now();
  const clock = setInterval(() => {
    const passed = (performance.now() - began) / 1000;
    tell(passed);
    if (passed >= seconds) stop();
  }, 200);
  const stop = () => {
    clearInterval(clock);
    if (recorder.state !== "inactive") recorder.stop();
  };
  const file = new Promise((resolve) => {
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    recorder.addEventListener("stop", () => {
      clearInterval(clock);
      const [type] = recorder.mimeType.split(";");
      resolve(new File(parts, `${name}.${SUFFIX[type]}`, { type }));
    });
  });
  capture.before(stop);
  tell(0);
  recorder.start();
  return { stop, file };
}

// A picture of what the camera shows now, at most `side` pixels wide and high.
export async function picture(video, canvas, { side, quality }) {
  const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
}

// "0:07"
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// A level meter to be looked at; those who do not see it hear the recording.
export function levelMeter() {
  const element = make("meter", { className: "level", max: 1, "aria-hidden": "true" });
  return { element, show: (level) => { element.value = level; } };
}
