// The stage: one box in which the portrait stands, and in its place all that comes of it. Its size never changes.

import { hideBefore, setBefore } from "./compare.js";
import { calm } from "./controls.js";
import { $, make } from "./elements.js";
import { state } from "./state.js";
import { t } from "./words.js";

const FADE_MS = 220;

const canvas = make("canvas", { role: "img" });
let drawing = null; // the canvas's context
let rest = null; // address of the first live picture: the face before anything moved it
let kind = "nothing"; // what is shown: "nothing", "portrait", "picture", "video" or "live"
let turn = 0; // counts what is to be shown, so that what loads late does not replace what came after

export const shows = () => kind;

// Put an element in the place of what is there, which fades away under it.
function put(element, what) {
  turn += 1;
  kind = what;
  $("stage").dataset.shows = what;
  const old = [...$("picture").querySelectorAll(".layer")].filter((each) => each !== element);
  const fade = calm() ? 0 : FADE_MS;
  if (element) {
    element.getAnimations().forEach((animation) => animation.cancel()); // it may come back while it fades
    element.classList.add("layer");
    $("picture").append(element);
    element.animate({ opacity: [old.length ? 0 : 1, 1] }, fade);
  }
  for (const each of old) {
    if (each.pause) each.pause();
    const fading = each.animate({ opacity: [1, 0] }, { duration: fade, fill: "forwards" });
    fading.finished.then(() => {
      each.remove();
      fading.cancel(); // else it would be unseen when it comes back
    }, () => {});
  }
}

async function putImage(url, alt, what) {
  turn += 1;
  kind = what; // from now on, though it is not seen yet
  const mine = turn;
  const image = make("img", { src: url, alt, draggable: false });
  await image.decode().catch(() => {}); // its words stand there then
  if (mine !== turn) return null;
  put(image, what);
  return image;
}

// The portrait as it was given; where there is none, the ways to get one.
export async function showPortrait() {
  const portrait = state.get("portrait");
  bar();
  hideBefore();
  if (!portrait) return put(null, "nothing");
  if (portrait.url) return putImage(portrait.url, `${t("stage.label")}: ${portrait.name}`, "portrait");
  put(make("p", { className: "unshown" }, portrait.name), "portrait"); // this browser cannot show it; its results it can
}

export async function showPicture(url, alt) {
  const image = await putImage(url, alt, "picture");
  if (image) before(image);
}

export function showVideo(video) {
  hideBefore();
  put(video, "video");
  const show = () => shows() === "video" && before(video);
  if (video.readyState) show();
  else video.addEventListener("loadedmetadata", show, { once: true });
}

// A picture of a live session, which is used up.
export function showLive(bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    drawing = null;
  }
  drawing ??= canvas.getContext("bitmaprenderer");
  drawing.transferFromImageBitmap(bitmap);
  if (kind === "live") return;
  canvas.setAttribute("aria-label", t("stage.live"));
  state.set({ job: null });
  put(canvas, "live");
  before(canvas);
}

// Keep a live picture of the face at rest, to compare with.
export function keepRest(jpeg) {
  if (rest) URL.revokeObjectURL(rest);
  rest = jpeg && URL.createObjectURL(jpeg);
  if (kind === "live") before(canvas);
}

// Show beside an element what was before: of the whole photo that photo, of the face alone the face at rest.
function before(element) {
  const width = element.naturalWidth || element.videoWidth || element.width;
  const height = element.naturalHeight || element.videoHeight || element.height;
  const portrait = state.get("portrait");
  const whole = element !== canvas && state.get("job")?.input?.options?.paste_back !== false;
  setBefore(whole || !rest ? portrait?.url : rest, { ratio: width / height, handle: element.tagName !== "VIDEO" });
}

// What stands under the picture and belongs to what is shown.
export function bar(...nodes) {
  $("result-bar").replaceChildren(...nodes);
}

export function fillStage() {
  const behind = make("img", { id: "behind", alt: "", hidden: true });
  $("picture").before(behind);
  let file; // of the portrait that was shown last; that it is kept meanwhile changes nothing
  state.watch(["portrait"], ({ portrait }) => {
    $("stage").classList.toggle("empty", !portrait);
    if (portrait?.file === file) return;
    file = portrait?.file;
    keepRest(null);
    behind.hidden = !portrait?.url;
    behind.src = portrait?.url ?? "";
    showPortrait();
  });
}
