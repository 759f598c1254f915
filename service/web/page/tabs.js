// The tabs, which keys move between as everywhere: arrows to the next, Home and End to the ends.

import { $ } from "./elements.js";
import { state } from "./state.js";

export const TABS = ["pose", "speech", "follow"];

function show({ tab }) {
  for (const name of TABS) {
    const chosen = name === tab;
    $(`tab-${name}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    $(`panel-${name}`).hidden = !chosen;
  }
}

function next(key) {
  const at = TABS.indexOf(state.get("tab"));
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + TABS.length, Home: 0, End: TABS.length - 1 }[key];
  return to === undefined ? null : TABS[to % TABS.length];
}

export function fillTabs() {
  for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => state.set({ tab: name }));
  $("tabs").addEventListener("keydown", (event) => {
    const tab = next(event.key);
    if (!tab) return;
    event.preventDefault();
    state.set({ tab });
    $(`tab-${tab}`).focus();
  });
  state.watch(["tab"], show);
}
