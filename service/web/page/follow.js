// The tab "Follow": the portrait does what somebody does in a photo, in a video, or before the camera.

import { make } from "./elements.js";
import { picker } from "./files.js";
import { run } from "./jobs.js";
import { checkbox, choice, keepPose, moreOptions } from "./options.js";
import { VIDEO_FORMATS } from "./result.js";
import { state } from "./state.js";
import { Webcam } from "./webcam.js";
import { t } from "./words.js";

const OPTIONS = ["expression_scale", "pose_scale", "size", "format", "paste_back", "label"];
const OF_PICTURES = OPTIONS.filter((name) => name !== "format");
const OF_LIVE = ["expression_scale", "pose_scale"];

// Who is followed, to be looked at.
function preview() {
  const image = make("img", { alt: t("follow.driver"), hidden: true });
  const video = make("video", { controls: true, playsInline: true, hidden: true, "aria-label": t("follow.driver") });
  const element = make("div", { className: "driver" }, image, video);
  let url = null;
  const show = (file, moving) => {
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(file);
    (moving ? video : image).src = url;
    video.hidden = !moving;
    image.hidden = moving;
    if (!moving) video.pause();
  };
  image.addEventListener("error", () => { image.hidden = true; }); // not every browser shows all that the service takes
  return { element, show };
}

const isVideo = (file) => (file.type ? file.type.startsWith("video/") : !/\.(jpe?g|png|webp|hei[cf]|avif)$/i.test(file.name));

export function fillFollow(panel) {
  let driver = null;
  let chose = false; // the reader, how it is taken over
  const shown = preview();
  const submit = make("button", { type: "submit", className: "main", id: "follow-submit" });
  const more = moreOptions("follow", OPTIONS, { formats: VIDEO_FORMATS });
  const says = checkbox("follow-says", t("follow.says"));
  const keep = keepPose("follow-keep", { checked: false });
  const how = choice({
    name: "follow-how",
    legend: t("follow.how"),
    values: { relative: t("follow.relative"), absolute: t("follow.absolute") },
    value: "relative",
    onChange: () => { chose = true; },
  });

  const moving = () => Boolean(driver && isVideo(driver));
  const refresh = () => {
    submit.textContent = t(moving() || !driver ? "follow.make-video" : "follow.make-picture");
    submit.disabled = state.get("busy") || !state.get("portrait") || !driver;
    more.show("format", moving() || !driver);
    keep.element.hidden = says.element.hidden = !moving();
    says.input.disabled = !state.get("speech");
  };
  const take = (file) => {
    driver = file;
    shown.show(file, isVideo(file));
    // A video begins somewhere, and goes on from there; a photo is a pose as it is
    if (!chose) how.querySelector(isVideo(file) ? "[value=relative]" : "[value=absolute]").checked = true;
    refresh();
  };

  const webcam = new Webcam({ take, options: () => more.values(OF_LIVE) });
  const ways = { file: picker({ id: "driving", kind: "driving", label: t("follow.choose"), onFile: take }), camera: webcam.element };
  const choose = (way) => {
    for (const [each, element] of Object.entries(ways)) element.hidden = each !== way;
    if (way !== "camera") webcam.close();
  };
  const words = { file: t("follow.way-file"), camera: t("follow.way-camera") };
  const way = choice({ name: "follow-way", legend: t("follow.way"), values: words, value: "file", onChange: choose });
  choose("file");

  const form = make("form", { className: "making" },
    way, ...Object.values(ways), shown.element, how, says.element, keep.element, more.element, make("div", { className: "actions" }, submit));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const moves = moving();
    const speech = moves && says.input.checked ? state.get("speech") : null;
    const motion = moves ? keep.motion() : null;
    const relative = how.querySelector(":checked").value === "relative";
    const options = { driving_relative: relative, ...more.values(moves ? OPTIONS : OF_PICTURES) };
    run(moves ? "videos" : "images", { driving: driver, ...speech, motion, options }, { what: "follow" });
  });
  state.watch(["busy", "portrait", "speech"], refresh);
  panel.append(form);
}
