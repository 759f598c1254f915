// A photo by the camera, in a dialog with a preview as in a mirror.

import { button, make, openDialog } from "./elements.js";
import { Capture, picture } from "./recorder.js";
import { t } from "./words.js";

const COUNTED_S = 3;
const SIDE = 1280;
const QUALITY = 0.92;

// The photo, or null where people thought better of it. Throws a Refusal where no camera is to be had.
export async function photograph() {
  let dialog = null;
  const capture = await Capture.open({ video: true }, () => dialog?.close());
  await capture.stream.getVideoTracks()[0].applyConstraints({ width: { ideal: SIDE }, height: { ideal: (SIDE * 3) / 4 } }).catch(() => {});
  const video = make("video", { className: "mirror", muted: true, playsInline: true, autoplay: true, srcObject: capture.stream, "aria-label": t("camera.preview") });
  const count = make("p", { className: "count", role: "status" });
  const later = make("input", { type: "checkbox", id: "camera-later" });
  const shoot = make("button", { type: "button", className: "main", disabled: true }, t("camera.shoot"));
  video.addEventListener("loadeddata", () => { shoot.disabled = false; });
  const cancel = button(t("camera.cancel"), { onclick: () => dialog.close() });
  dialog = openDialog(
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
      const blob = await picture(video, make("canvas"), { side: SIDE, quality: QUALITY });
      photo = new File([blob], t("camera.file"), { type: blob.type });
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      capture.close();
      resolve(photo);
    });
  });
}
