// The portrait: chosen, dropped, pasted, photographed or ours; shown at once and kept by the service meanwhile.

import { call, jobPath, json } from "./api.js";
import { photograph } from "./camera.js";
import { button, make } from "./elements.js";
import { admit, limits, picker, receive } from "./files.js";
import { Refusal, announce, clearError, offer, tellError } from "./notices.js";
import { state } from "./state.js";
import { t } from "./words.js";

const KEPT = "portrait"; // of the session storage: the id and the name of the one that was chosen last
const SAMPLE = "web/samples/portrait.jpg";

let keeping = null; // the promise of the id, while the portrait is sent

// An address of a picture, if the browser can show it: not every one shows every photo that the service takes.
async function shown(file) {
  const url = URL.createObjectURL(file);
  const image = make("img", { src: url });
  try {
    await image.decode();
    return { url, pixels: image.naturalWidth * image.naturalHeight };
  } catch {
    URL.revokeObjectURL(url);
    return { url: null, pixels: 0 };
  }
}

function place(portrait) {
  const before = state.get("portrait");
  state.set({ portrait, job: null, options: { ...state.get("options"), face: null } });
  if (before?.url && before.url !== portrait.url) URL.revokeObjectURL(before.url);
}

// Take a photo for the portrait. Throws a Refusal.
async function choose(file) {
  await admit(file, "portrait");
  const { url, pixels } = await shown(file);
  const { max_pixels: most } = (await limits()).image;
  if (pixels > most) {
    URL.revokeObjectURL(url);
    const millions = (number) => Math.round(number / 1e6);
    throw new Refusal(t("portrait.pixels", { name: file.name, pixels: millions(pixels), allowed: millions(most) }));
  }
  clearError();
  place({ file, id: null, url, name: file.name || t("file.unnamed") });
  announce(t("portrait.chosen", { name: state.get("portrait").name }));
  keep();
}

// Make a photo the portrait; what is wrong with it is told.
const choosePortrait = (file) => choose(file).catch(tellError);

async function useSample() {
  try {
    const blob = await (await call(SAMPLE)).blob();
    await choose(new File([blob], t("portrait.sample-file"), { type: "image/jpeg" }));
  } catch (error) {
    tellError(error);
  }
}

async function takePhoto() {
  try {
    clearError();
    const photo = await photograph();
    if (photo) await choose(photo);
  } catch (error) {
    tellError(error);
  }
}

async function send(portrait) {
  const body = new FormData();
  body.append("portrait", portrait.file, portrait.name);
  const { id } = await json("v1/portraits", { method: "POST", body });
  if (state.get("portrait").file === portrait.file) {
    sessionStorage.setItem(KEPT, JSON.stringify({ id, name: portrait.name }));
    state.set({ portrait: { ...portrait, id } });
  }
  return id;
}

function keep() {
  const mine = send(state.get("portrait"));
  keeping = mine;
  mine.catch(tellError).finally(() => { if (keeping === mine) keeping = null; });
  return mine;
}

// The id of the portrait at the service, which is sent once. Throws a Problem, or a Refusal where there is none.
export async function portraitId() {
  const portrait = state.get("portrait");
  if (!portrait) throw new Refusal(t("portrait.none"));
  return portrait.id ?? keeping ?? keep();
}

// It has expired at the service: the next who asks for its id sends it again.
export function forgetPortraitId() {
  state.set({ portrait: { ...state.get("portrait"), id: null } });
}

// Show a portrait that the service keeps.
async function restorePortrait(id, name = t("portrait.kept")) {
  const blob = await (await call(`v1/portraits/${id}/file`)).blob();
  const { url } = await shown(blob);
  place({ file: blob, id, url, name });
  sessionStorage.setItem(KEPT, JSON.stringify({ id, name }));
}

// Show the portrait that was there before the page was loaded again, if it is still kept.
export async function restoreLast() {
  const { id, name } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  if (id) await restorePortrait(id, name).catch(() => sessionStorage.removeItem(KEPT));
}

// Show the portrait that a job was made of where none is on the stage, if it is still kept.
export async function restorePortraitOf(job) {
  if (state.get("portrait")) return;
  const { input, metadata } = await json(jobPath(job));
  const { portraits } = await json("v1/portraits");
  const kept = portraits.find(({ sha256 }) => sha256 === input?.portrait?.sha256);
  if (kept) await restorePortrait(kept.id, metadata.portrait || undefined);
}

const setFace = (face) => state.set({ options: { ...state.get("options"), face } });

// Of a photo of several people, the one who comes next; they are counted from the largest face.
export function anotherPerson() {
  const face = (state.get("options").face ?? 0) + 1;
  setFace(face);
  announce(t("portrait.person", { number: face + 1 }));
}

// What stands on the empty stage.
export function portraitChooser() {
  return make(
    "div",
    { className: "chooser" },
    picker({ id: "portrait", kind: "portrait", label: t("portrait.choose"), onFile: choose }),
    make("div", { className: "buttons" }, button(t("portrait.camera"), { onclick: takePhoto }), button(t("portrait.sample"), { onclick: useSample })),
  );
}

// What can be done about the portrait that is there.
export function portraitTools() {
  return make(
    "div",
    { className: "buttons" },
    picker({ id: "portrait", kind: "portrait", label: t("portrait.other"), onFile: choose, small: true }),
    button(t("portrait.camera"), { onclick: takePhoto }),
    button(t("portrait.another-person"), { onclick: anotherPerson }),
  );
}

receive("portrait", choosePortrait);
offer("no-such-face", "portrait.first-person", () => setFace(null));
