// What came of a job: on the stage, and under it what can be done with it.

import { call, jobPath } from "./api.js";
import { button, make } from "./elements.js";
import { again, canRunAgain } from "./jobs.js";
import { drawTake, formatWords } from "./options.js";
import { Player } from "./player.js";
import { copyButton, jobLink } from "./share.js";
import { bar, showPicture, showPortrait } from "./stage.js";
import { state } from "./state.js";
import { has, quantity, t } from "./words.js";

export const VIDEO_FORMATS = ["mp4", "webm", "gif", "webp"];
const READ_FPS = 25; // of videos that are followed

let shown = null; // {url, player} of the result on the stage

const plain = (text) => text.normalize("NFC").replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-+|-+$/g, "").slice(0, 60);

// A name that says what is in the file: anna-speech-take-3.mp4
function fileName(job) {
  const portrait = (job.metadata.portrait || state.get("portrait")?.name || "").replace(/\.\w+$/, "");
  const seed = spoken(job) ? `take-${job.input.options.seed}` : "";
  const suffix = job.result.media_type.split("/")[1].replace("jpeg", "jpg");
  const parts = [plain(portrait) || "portrait", plain(job.metadata.what ?? "") || job.kind, seed];
  return `${parts.filter(Boolean).join("-").toLowerCase()}.${suffix}`;
}

const spoken = (job) => Boolean(job.input?.audio || job.input?.text) && Number.isInteger(job.input.options.seed);

// What differs from what was asked, in a sentence each.
function remarks({ result }) {
  const found = [];
  if (result.clamped) found.push(t("result.clamped"));
  if (result.frames_without_face) {
    found.push(t("result.faceless", { time: quantity(result.frames_without_face / READ_FPS, "second", 1) }));
  }
  return found.length ? make("p", { className: "quiet remarks", textContent: found.join(" ") }) : null;
}

function times(job) {
  const rows = Object.entries(job.timings).map(([stage, seconds]) => make("tr", {},
    make("th", { scope: "row", textContent: has(`work.stage-${stage}`) ? t(`work.stage-${stage}`) : stage }),
    make("td", { textContent: quantity(seconds, "second", 2) })));
  return make("details", { className: "times" }, make("summary", { textContent: t("result.times") }), make("table", {}, ...rows));
}

function formats(job) {
  const options = Object.entries(formatWords(VIDEO_FORMATS)).map(([value, textContent]) =>
    make("option", { value, textContent, selected: value === job.input.options.format }));
  const select = make("select", { id: "result-format" }, ...options);
  select.addEventListener("change", () => again({ format: select.value, seed: job.input.options.seed }));
  return make("label", { className: "inline" }, t("option.format"), select);
}

function tools(job, url) {
  const video = job.kind === "video" && canRunAgain(job);
  const take = spoken(job) && make("span", { className: "take quiet", textContent: t("result.take", { seed: job.input.options.seed }) });
  return [
    make("a", { id: "download", className: "button", href: url, download: fileName(job), textContent: t("result.download") }),
    take || null,
    take && video ? button(t("result.again"), { onclick: () => again({ seed: drawTake() }) }) : null,
    video ? formats(job) : null,
    copyButton(t("result.copy"), () => jobLink(job.id)),
    remarks(job),
    times(job),
  ].filter(Boolean);
}

export function clearResult() {
  shown?.player?.close();
  if (shown) URL.revokeObjectURL(shown.url);
  shown = null;
  bar();
}

// Show a job that succeeded. A `player` that plays it already goes on, and with the file when it has come to the end.
export async function showResult(job, player) {
  const url = URL.createObjectURL(await (await call(jobPath(job.id, "/result"))).blob());
  clearResult();
  const type = job.result.media_type;
  const playing = type.startsWith("video/") ? player ?? Player.of(url) : null;
  if (playing) {
    if (playing === player) player.offer(url);
  } else {
    player?.close();
    if (type.startsWith("image/")) showPicture(url, t(`result.alt-${job.kind}`));
    else showPortrait();
  }
  shown = { url, player: playing };
  bar(...(playing ? [playing.soundButton] : []), ...tools(job, url));
}

// Another portrait takes the stage.
state.watch(["job"], ({ job }) => job ?? clearResult());
