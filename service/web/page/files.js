// Files that people choose, drop or paste: checked at once, and brought to where they belong.

import { json } from "./api.js";
import { button, make } from "./elements.js";
import { recognise } from "./filetypes.js";
import { Refusal, clearError, tellError } from "./notices.js";
import { state } from "./state.js";
import { has, quantity, t } from "./words.js";

const TAKEN = { portrait: ["image"], audio: ["audio"], driving: ["image", "video"] }; // the service's limits of a kind
const PLACE = { image: "portrait", audio: "audio", video: "driving" }; // where a file goes that was dropped anywhere
const TAB = { audio: "speech", driving: "follow" };

let asked = null;

// What the service takes, as GET v1/limits says.
export function limits() {
  asked ??= json("v1/limits").catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

const receivers = new Map(); // by kind: who takes a file that was dropped elsewhere

// Be given the files of a kind that are dropped beside all boxes, or pasted.
export const receive = (kind, onFile) => receivers.set(kind, onFile);

function megabytes(bytes) {
  const number = bytes / 2 ** 20;
  return quantity(number, "megabyte", number < 10 ? 1 : 0);
}

// "a picture (GIF)"
function described(type, formats) {
  const family = type.split("/")[0];
  const title = formats.find((each) => each.media_type === type)?.title ?? type.split("/")[1].replace(/^x-|\+xml$/g, "").toUpperCase();
  if (type === "text/plain") return t("file.is.text");
  return has(`file.is.${family}`) ? t(`file.is.${family}`, { title }) : t("file.is.other", { title });
}

const titles = (formats) => [...new Set(formats.map((each) => each.title))].join(", ");

// What is wrong with a file as a "portrait", "audio" or "driving": a Refusal, or null.
async function refusal(file, kind) {
  const name = file.name || t("file.unnamed");
  if (!file.size) return new Refusal(t("file.empty", { name }));
  const all = await limits();
  const type = await recognise(file);
  const wanted = TAKEN[kind].map((each) => all[each]);
  const taking = wanted.find((each) => each.formats.some(({ media_type }) => media_type === type));
  if (!taking) {
    const known = Object.values(all).flatMap((each) => each.formats ?? []);
    const values = { name, is: described(type, known), allowed: titles(wanted.flatMap((each) => each.formats)) };
    return new Refusal(t(`file.wrong.${kind}`, values), await elsewhere(file, type, kind, all));
  }
  if (file.size <= taking.max_bytes) return null;
  return new Refusal(t("file.large", { name, size: megabytes(file.size), allowed: megabytes(taking.max_bytes) }));
}

// Where a file that is wrong here would be right: a video that is no portrait may be followed.
async function elsewhere(file, type, kind, all) {
  const other = place(type);
  if (!other || other === kind || !receivers.has(other)) return null;
  if (!TAKEN[other].some((each) => all[each].formats.some(({ media_type }) => media_type === type))) return null;
  return { label: t(`file.use.${other}`), run: () => bring(file, other) };
}

const place = (type) => PLACE[type.split("/")[0]];

// The words of what is wrong with a file, or null.
export const check = async (file, kind) => (await refusal(file, kind))?.message ?? null;

// Throws a Refusal where a file cannot be taken.
export async function admit(file, kind) {
  const wrong = await refusal(file, kind);
  if (wrong) throw wrong;
}

// Give a file to who takes its kind, in its tab.
async function bring(file, kind) {
  if (kind in TAB) state.set({ tab: TAB[kind] });
  await receivers.get(kind)(file);
}

// A file that came from nowhere in particular goes to where its kind belongs.
async function sort(file) {
  try {
    clearError();
    const kind = place(await recognise(file)) ?? "portrait";
    await admit(file, receivers.has(kind) ? kind : "portrait");
    await bring(file, kind);
  } catch (error) {
    tellError(error);
  }
}

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

// Tell an element's class while files hang over it, and give it the first that is dropped.
function droppable(element, onFile) {
  let depth = 0; // children are entered before their parents are left
  const over = (by) => {
    depth = Math.max(0, depth + by);
    element.classList.toggle("over", depth > 0);
  };
  element.addEventListener("dragenter", (event) => hasFiles(event) && over(1));
  element.addEventListener("dragleave", (event) => hasFiles(event) && over(-1));
  element.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    over(-depth);
    if (!hasFiles(event) || event.defaultPrevented) return;
    event.preventDefault(); // else the browser would leave the page for the file
    const [file] = event.dataTransfer.files;
    if (file) onFile(file);
  });
}

// Files dropped anywhere in the page stay in it, and pasted pictures come.
export function catchFiles() {
  droppable(document.documentElement, sort);
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return; // a text, for whatever field has the focus
    event.preventDefault();
    sort(file);
  });
}

// A box to choose a file of a kind, or to drop it on, that shows its name; `small`: as a button. `onFile` gets those that
// are right, and those that are dropped elsewhere; it may throw.
export function picker({ id, kind, label, onFile, small = false }) {
  const input = make("input", { type: "file", id, className: "unseen", "aria-describedby": `${id}-said` });
  const said = make("p", { id: `${id}-said`, className: "picked", role: "status" });
  const wrong = make("div", { className: "wrong", role: "alert" });
  const box = make("label", { className: small ? "picker small" : "picker", htmlFor: id }, label);
  const refuse = ({ message, action }) => {
    wrong.replaceChildren(make("div", {}, message));
    if (action) wrong.append(button(action.label, { onclick: () => { wrong.replaceChildren(); action.run(); } }));
  };
  const take = async (file) => {
    wrong.replaceChildren();
    try {
      await admit(file, kind);
      await onFile(file);
      said.textContent = file.name;
    } catch (error) {
      if (small || !(error instanceof Refusal)) tellError(error);
      else refuse(error);
    }
  };
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // so that choosing the same file again is a change
    if (file) take(file);
  });
  limits().then((all) => {
    input.accept = TAKEN[kind].flatMap((each) => all[each].formats.flatMap(({ media_type, suffix }) => [media_type, `.${suffix}`])).join();
  }, () => {}); // whatever is chosen then is checked later
  droppable(box, take);
  receive(kind, take);
  return make("div", { className: "picking" }, input, box, said, wrong);
}
