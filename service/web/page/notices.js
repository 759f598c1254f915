// What went wrong, in words for people, where they look; and what goes on, for those who listen.

import { Problem } from "./api.js";
import { $, button, make } from "./elements.js";
import { has, t } from "./words.js";

// An error of the page itself, whose message is for people. `action`: {label, run}, what may help.
export class Refusal extends Error {
  constructor(message, action = null) {
    super(message);
    this.action = action;
  }
}

const remedies = new Map(); // by problem type

// A button, whose text is of this key, beside problems of a type.
export const offer = (type, key, run) => remedies.set(type, { key, run });

export function clearError() {
  $("notice").replaceChildren();
}

// Show `text` until it is dismissed or the next one comes.
export function tell(text, { small = null, action = null } = {}) {
  let from = null; // where the focus was before it came here
  const dismiss = () => {
    clearError();
    from?.focus({ preventScroll: true });
  };
  const notice = make("div", { className: "notice", onkeydown: ({ key }) => key === "Escape" && dismiss() }, make("p", {}, text));
  if (small && small !== text) notice.append(make("p", { className: "small" }, small));
  const buttons = make("div", { className: "notice-buttons" });
  if (action) {
    const run = () => { clearError(); action.run(); };
    buttons.append(button(action.label, { onclick: run }));
  }
  buttons.append(button(t("notice.dismiss"), { onclick: dismiss }));
  notice.append(buttons);
  notice.addEventListener("focusin", ({ relatedTarget }) => { if (!notice.contains(relatedTarget)) from = relatedTarget; });
  $("notice").replaceChildren(notice);
  notice.scrollIntoView({ block: "nearest" });
}

function remedy(type) {
  const { key, run } = remedies.get(type) ?? {};
  return key ? { label: t(key), run } : null;
}

function words(problem) {
  const key = `problem.${problem.type}`;
  if (has(key)) return t(key);
  return t(problem.status >= 500 ? "problem.theirs" : "problem.other");
}

// Show an error: a Problem of the service, a Refusal of the page, or whatever else was thrown.
export function tellError(error) {
  if (error instanceof Problem || error.type) tell(words(error), { small: error.detail, action: remedy(error.type) });
  else if (error instanceof Refusal) tell(error.message, { action: error.action });
  else if (error.name === "AbortError") return;
  else if (error instanceof TypeError && !navigator.onLine) tell(t("notice.offline"));
  else if (error instanceof TypeError) tell(t("notice.unreachable"), { small: error.message });
  else tell(t("notice.unexpected"), { small: error.message });
}

// Say a stage politely to those who cannot see it.
export function announce(text) {
  $("status").textContent = text;
}
