// The tab "Speech": what the portrait says, from a file, the microphone or a text.

import { json } from "./api.js";
import { button, make } from "./elements.js";
import { limits, picker } from "./files.js";
import { run } from "./jobs.js";
import { live } from "./live.js";
import { clearError, tellError } from "./notices.js";
import { choice, drawTake, keepPose, moreOptions } from "./options.js";
import { preload } from "./player.js";
import { Capture, clock, levelMeter, listen, meter, record } from "./recorder.js";
import { VIDEO_FORMATS } from "./result.js";
import { state } from "./state.js";
import { t } from "./words.js";

const SAMPLE = "web/samples/speech.flac";
const OPTIONS = ["pose_scale", "expression_scale", "temperature", "seed", "size", "format", "blink_rate", "still", "paste_back", "label"];
const OF_LIVE = ["pose_scale", "expression_scale", "blink_rate", "still", "temperature", "seed"];

// A sound that was chosen, to be heard. Shown once there is one.
function hearing() {
  const name = make("span", { className: "quiet" });
  const audio = make("audio", { controls: true, "aria-label": t("speech.listen") });
  const element = make("div", { className: "hearing", hidden: true }, name, audio);
  const show = (file) => {
    URL.revokeObjectURL(audio.src);
    audio.src = URL.createObjectURL(file);
    name.textContent = file.name;
    element.hidden = false;
  };
  return { element, show };
}

// Each way gives {element, fields(): what a job takes of it, or null while there is nothing}; `changed` is to be told.

function byFile(changed) {
  let file = null;
  const heard = hearing();
  const take = (chosen) => {
    file = chosen;
    heard.show(file);
    changed();
  };
  const sample = button(t("speech.sample"), { id: "speech-sample" });
  sample.addEventListener("click", async () => {
    try {
      const response = await fetch(SAMPLE);
      take(new File([await response.blob()], "speech.flac", { type: "audio/flac" }));
    } catch (error) {
      tellError(error);
    }
  });
  const box = picker({ id: "audio", kind: "audio", label: t("speech.choose"), onFile: take });
  return { element: make("div", {}, box, sample, heard.element), fields: () => file && { audio: file } };
}

function byMicrophone(changed, options) {
  let file = null;
  let recording = null;
  let speaking = null; // the microphone, while the portrait speaks along
  const heard = hearing();
  const level = levelMeter();
  const time = make("span", { className: "time", textContent: clock(0) });
  const start = button(t("speech.record"), { id: "record" });
  const along = button(t("speech.along"), { id: "speak-along" });
  const hint = make("p", { className: "quiet", textContent: t("speech.along-hint") });

  const opened = async (gone) => {
    clearError();
    const microphone = await Capture.open({ audio: true }, gone);
    meter(microphone, level.show);
    return microphone;
  };
  const show = () => {
    start.textContent = t(recording ? "speech.stop" : file ? "speech.record-again" : "speech.record");
    start.disabled = Boolean(speaking);
    along.textContent = t(speaking ? "speech.along-stop" : "speech.along");
    along.setAttribute("aria-pressed", String(Boolean(speaking)));
    along.disabled = Boolean(recording) || state.get("busy") || !state.get("portrait");
    along.hidden = hint.hidden = !state.get("canLive");
    time.hidden = !recording;
    level.element.hidden = !recording && !speaking;
  };

  async function recordOne() {
    const { max_seconds: seconds } = (await limits()).audio;
    const microphone = await opened();
    const tell = (passed) => { time.textContent = clock(passed); };
    recording = record(microphone, { kind: "audio", name: t("speech.recording-name"), seconds, tell });
    show();
    file = await recording.file;
    recording = null;
    microphone.close();
    heard.show(file);
    show();
    changed();
  }

  async function speakAlong() {
    speaking = await opened(() => {
      speaking = null;
      if (!state.get("busy")) live.drive("controls");
      show();
    });
    show();
    live.drive("sound", options());
    await listen(speaking, (chunk) => live.sound(chunk));
  }

  const guarded = (act) => act().catch((error) => {
    speaking?.close();
    tellError(error);
  });
  start.addEventListener("click", () => (recording ? recording.stop() : guarded(recordOne)));
  along.addEventListener("click", () => (speaking ? speaking.close() : guarded(speakAlong)));
  state.watch(["busy", "portrait", "canLive"], ({ busy }) => {
    if (busy) speaking?.close(); // a job needs the worker
    show();
  });
  const element = make("div", {}, make("div", { className: "buttons" }, start, along, time, level.element), hint, heard.element);
  return { element, fields: () => file && !recording && { audio: file } };
}

// "British English (en-gb)"
function voiceName({ id, language }) {
  if (!language) return id;
  try {
    return `${new Intl.DisplayNames([document.documentElement.lang], { type: "language" }).of(language)} (${id})`;
  } catch {
    return id; // not a tag that this browser reads
  }
}

function byText(changed) {
  const text = make("textarea", { id: "text", rows: 4, placeholder: t("speech.text-example") });
  const voice = make("select", { id: "voice" });
  const voices = make("label", { className: "setting", hidden: true }, make("span", { textContent: t("speech.voice") }), voice);
  const none = make("p", { className: "quiet", textContent: t("speech.no-speaker"), hidden: true });
  text.addEventListener("input", changed);
  let asked = false;
  const ask = async () => {
    if (asked) return;
    asked = true;
    try {
      const [{ speaker, voices: all, default: usual }, { max_text_characters: most }] = await Promise.all([json("v1/voices"), limits()]);
      text.maxLength = most;
      none.hidden = speaker !== null;
      text.disabled = speaker === null;
      voice.replaceChildren(...all.map((each) => make("option", { value: each.id, textContent: voiceName(each) })));
      const own = all.find(({ language }) => language?.split("-")[0] === document.documentElement.lang);
      voice.value = own?.id ?? usual ?? "";
      voices.hidden = all.length < 2;
    } catch (error) {
      asked = false;
      tellError(error);
    }
  };
  const fields = () => {
    const said = text.value.trim();
    return /[\p{L}\p{N}]/u.test(said) && !text.disabled ? { text: said, voice: voice.value || null } : null;
  };
  const label = make("label", { className: "stacked", htmlFor: "text", textContent: t("speech.text") });
  return { element: make("div", {}, none, label, text, voices), fields, ask };
}

export function fillSpeech(panel) {
  const submit = make("button", { type: "submit", className: "main", id: "speech-submit", textContent: t("speech.make") });
  const more = moreOptions("speech", OPTIONS, { formats: VIDEO_FORMATS });
  const keep = keepPose("speech-keep", { checked: true });
  let chosen = "file";
  const changed = () => state.set({ speech: ways[chosen].fields() || null });
  const chooseFile = () => { // wherever in the page it was dropped
    way.querySelector("[value=file]").checked = true;
    choose("file");
  };
  const ways = { file: byFile(chooseFile), microphone: byMicrophone(changed, () => more.values(OF_LIVE)), text: byText(changed) };
  const choose = (way) => {
    chosen = way;
    for (const [each, { element }] of Object.entries(ways)) element.hidden = each !== way;
    if (way === "text") ways.text.ask();
    changed();
  };
  const words = Object.fromEntries(Object.keys(ways).map((each) => [each, t(`speech.way-${each}`)]));
  const way = choice({ name: "speech-way", legend: t("speech.way"), values: words, value: chosen, onChange: choose });
  choose(chosen);
  const form = make("form", { className: "making" }, way, ...Object.values(ways).map(({ element }) => element), keep.element, more.element, make("div", { className: "actions" }, submit));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = { ...state.get("speech"), motion: keep.motion(), options: { seed: drawTake(), ...more.values() } };
    run("videos", fields, { what: "speech" });
  });
  state.watch(["busy", "portrait", "speech"], ({ busy, portrait, speech }) => { submit.disabled = busy || !portrait || !speech; });
  state.watch(["tab"], ({ tab }) => tab !== "pose" && preload());
  panel.append(form);
}
