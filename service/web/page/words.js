// What the page says, in the reader's language. Each language is a table of its own beside this file.

import { words as en } from "./words/en.js";

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", ko: "한국어", ja: "日本語", zh: "简体中文" };
const CHOICE = "language"; // of the local storage

let table = en;

// The text of a key, with {name} put in. A text that a language lacks is shown in English.
export function t(key, values = {}) {
  const text = table[key] ?? en[key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replaceAll(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export const has = (key) => key in en;

// Of these languages the one that the reader chose, or else the first that the browser asks for.
export function language() {
  const wanted = [localStorage.getItem(CHOICE), ...navigator.languages.map((each) => each.slice(0, 2))];
  return wanted.find((each) => each in LANGUAGES) ?? "en";
}

// Writes numbers as the reader's language does, by the options of Intl.NumberFormat.
export const numbers = (options) => new Intl.NumberFormat(language(), options).format;

// "7.1 sec", "2 min", "20 MB"
export const quantity = (number, unit, digits = 0) =>
  numbers({ style: "unit", unit, minimumFractionDigits: digits, maximumFractionDigits: digits })(number);

// Read the table of the reader's language and write the texts that stand in the document.
export async function speak() {
  const chosen = language();
  if (chosen !== "en") table = (await import(`./words/${chosen}.js`).catch(() => ({ words: en }))).words;
  document.documentElement.lang = chosen;
  say(document);
}

export function chooseLanguage(code) {
  localStorage.setItem(CHOICE, code);
  location.reload(); // nothing is lost: what is under way is found again
}

// Write the texts of the elements under `root`: of data-t its content, of data-t-label its name.
export function say(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
}
