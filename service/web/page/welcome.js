// What stands on the stage before there is a portrait, and what is at hand about it afterwards.

import { $, make } from "./elements.js";
import { portraitChooser, portraitTools } from "./portrait.js";
import { state } from "./state.js";
import { t } from "./words.js";

// A menu that closes when something was chosen, or when people turn to something else.
function menu() {
  const element = make("details", { id: "photo-menu" }, make("summary", { className: "pill" }, t("stage.photo")));
  const close = () => element.removeAttribute("open");
  const leave = () => {
    close();
    element.firstElementChild.focus();
  };
  element.addEventListener("click", (event) => event.target.closest("button") && leave());
  element.addEventListener("change", leave);
  document.addEventListener("pointerdown", (event) => element.contains(event.target) || close());
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && element.open) leave();
  });
  return element;
}

export function fillWelcome() {
  const empty = make("div", { id: "empty" }, make("h2", {}, t("welcome.title")), make("p", {}, t("welcome.drop")));
  const tools = menu();
  const badge = make("p", { id: "live-badge", className: "pill", "aria-hidden": "true" });
  $("picture").after(empty, badge, tools);
  let ways = null; // to a photo, or to another one
  let had = null;
  state.watch(["portrait"], ({ portrait }) => {
    if (had === Boolean(portrait)) return;
    had = Boolean(portrait);
    const focused = ways?.contains(document.activeElement);
    ways?.remove();
    ways = had ? portraitTools() : portraitChooser();
    (had ? tools : empty).append(ways);
    empty.hidden = had;
    tools.hidden = !had;
    if (focused && had) tools.firstElementChild.focus({ preventScroll: true }); // where it was is gone
  });
  state.watch(["live", "unseen"], ({ live, unseen }) => {
    badge.hidden = live === "off";
    badge.dataset.live = live;
    badge.textContent = { off: "", waiting: t("live.waiting"), on: t(unseen ? "live.unseen" : "live.on") }[live];
  });
}
