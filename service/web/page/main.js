// The page: its parts are filled, and told what can be moved.

import { json } from "./api.js";
import { fillCompare } from "./compare.js";
import { $, make } from "./elements.js";
import { catchFiles } from "./files.js";
import { fillFollow } from "./follow.js";
import { fillHistory } from "./history.js";
import { fillLive } from "./live.js";
import { tellError } from "./notices.js";
import { fillPose } from "./pose.js";
import { keepAddress } from "./share.js";
import { fillSignIn } from "./signin.js";
import { fillSpeech } from "./speech.js";
import { fillStage } from "./stage.js";
import { state } from "./state.js";
import { fillSteer } from "./steer.js";
import { fillTabs } from "./tabs.js";
import { fillWelcome } from "./welcome.js";
import { LANGUAGES, chooseLanguage, language, speak, t } from "./words.js";

function fillLanguages() {
  const options = Object.entries(LANGUAGES).map(([value, name]) => make("option", { value, lang: value, selected: value === language() }, name));
  $("language").append(...options);
  $("language").addEventListener("change", () => chooseLanguage($("language").value));
}

// What can be moved here: the controls of the renderer that is installed.
async function loadControls() {
  try {
    const { spaces } = await json("v1/controls");
    if (!spaces.length) throw new Error(t("pose.no-renderer"));
    state.set({ space: spaces[0] });
  } catch (error) {
    tellError(error);
  }
}

await speak();
fillLanguages();
fillSignIn();
catchFiles();
fillTabs();
fillCompare();
fillWelcome();
fillStage();
fillSteer();
fillLive();
fillPose($("panel-pose"));
fillSpeech($("panel-speech"));
fillFollow($("panel-follow"));
fillHistory($("history"));
await Promise.all([loadControls(), keepAddress()]);
