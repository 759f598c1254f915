// A photo by the camera, in a dialog with a preview as in a mirror.

import { make, openDialog } from "./elements.js";
import { Refusal } from "./notices.js";
import { has, t } from "./words.js";

const COUNTED_S = 3;

async function open() {
  if (!navigator.mediaDevices) throw new Refusal(t("camera.insecure"));
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } } });
  } catch (error) {
    throw new Refusal(t(has(`camera.${error.name}`) ? `camera.${error.name}` : "camera.NotReadableError"));
  }
}

// What the camera sees now, not mirrored.
function still(video) {
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(new File([blob], t("camera.file"), { type: blob.type })), "image/jpeg", 0.92));
}

// The photo, or null where people thought better of it. Throws a Refusal where there is no camera to be had.
export async function photograph() {
  const stream = await open();
  const video = make("video", { className: "mirror", muted: true, playsInline: true, autoplay: true, srcObject: stream, "aria-label": t("camera.preview") });
  const count = make("p", { className: "count", role: "status" });
  const later = make("input", { type: "checkbox", id: "camera-later" });
  const shoot = make("button", { type: "button", className: "main", disabled: true }, t("camera.shoot"));
  video.addEventListener("loadeddata", () => { shoot.disabled = false; });
  const cancel = make("button", { type: "button", className: "plain", onclick: () => dialog.close() }, t("camera.cancel"));
  const dialog = openDialog(
    t("camera.heading"),
    make("div", { className: "viewfinder" }, video, count),
    make("label", { className: "check" }, later, t("camera.later", { seconds: COUNTED_S })),
    make("div", { className: "buttons" }, shoot, cancel),
  );
  return new Promise((resolve) => {
    let photo = null;
    shoot.addEventListener("click", async () => {
      shoot.disabled = true;
      for (let left = later.checked ? COUNTED_S : 0; left > 0 && dialog.open; left -= 1) {
        count.textContent = String(left);
        await new Promise((next) => setTimeout(next, 1000));
      }
      if (!dialog.open) return;
      photo = await still(video);
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      stream.getTracks().forEach((track) => track.stop());
      resolve(photo);
    });
  });
}
