// The API key: which is in use, another one, or none; asked for whenever a call is refused for want of one.

import { key, onUnauthorized } from "./api.js";
import { $, button, make, openDialog } from "./elements.js";
import { clearError } from "./notices.js";
import { t } from "./words.js";

let asking = null; // the promise of the dialog that is open

function showKey() {
  const used = key.get();
  $("sign-in").hidden = !used;
  $("sign-in").textContent = used ? t("signin.in-use", { end: used.slice(-4) }) : t("signin.open");
}

// Ask for a key, and say why: resolves to whether one was given.
function ask(problem = null) {
  asking ??= new Promise((answer) => openForm(problem, answer)).finally(() => {
    asking = null;
    showKey();
  });
  return asking;
}

function openForm(problem, answer) {
  const used = key.get();
  const input = make("input", { type: "password", id: "key", required: true, autocomplete: "current-password", spellcheck: false });
  const shown = make("input", { type: "checkbox", id: "key-shown", onchange: () => { input.type = shown.checked ? "text" : "password"; } });
  const remember = make("input", { type: "checkbox", id: "key-remembered" });
  const reason = make("p", { className: "bad", role: "alert" });
  const form = make(
    "form",
    { className: "signin" },
    make("p", {}, t("signin.why")),
    reason,
    make("label", { htmlFor: "key" }, t("signin.key")),
    input,
    make("label", { className: "check" }, shown, t("signin.show")),
    make("label", { className: "check" }, remember, t("signin.remember")),
    make("p", { className: "small" }, t("signin.kept")),
    make(
      "div",
      { className: "buttons" },
      make("button", { type: "submit", className: "main" }, t("signin.use")),
      used ? button(t("signin.forget", { end: used.slice(-4) }), { onclick: forget }) : null,
      button(t("signin.cancel"), { onclick: () => dialog.close() }),
    ),
  );
  if (problem) reason.textContent = t(used ? "signin.wrong" : "signin.missing", { end: used?.slice(-4) });
  const dialog = openDialog(t("signin.heading"), form);
  let given = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!/^[\x21-\x7e]+$/.test(text)) { // no header could hold it
      reason.textContent = t("signin.odd");
      input.focus();
      return;
    }
    key.set(text, { remember: remember.checked });
    clearError();
    given = true;
    dialog.close();
  });
  dialog.addEventListener("close", () => answer(given));
  function forget() {
    key.forget();
    location.reload(); // what this key may see is gone from the page as well
  }
}

// Fill the header's button, and ask for a key whenever one is wanted.
export function fillSignIn() {
  onUnauthorized(ask);
  $("sign-in").addEventListener("click", async () => {
    if (await ask()) location.reload(); // another owner's page
  });
  showKey();
}
