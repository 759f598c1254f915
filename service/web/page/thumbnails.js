// Small pictures of what jobs made, fetched when they come into view. Fetched, since an image sends no key by itself.

import { call, jobPath } from "./api.js";
import { make } from "./elements.js";

const SIDE = 240; // pixels, of a screen with two for one

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target).catch(() => target.classList.add("none")); // it has expired, or nothing can show it
  }
}, { rootMargin: "200px" });

const blob = async (path) => (await call(path)).blob();

// The first frame of a video, of its first segment alone.
async function firstFrame(id) {
  const parts = [await blob(jobPath(id, "/stream/init.mp4")), await blob(jobPath(id, "/stream/0.m4s"))];
  const url = URL.createObjectURL(new Blob(parts, { type: "video/mp4" }));
  const video = make("video", { muted: true, preload: "auto", src: url });
  try {
    await new Promise((resolve, reject) => {
      video.addEventListener("loadeddata", resolve);
      video.addEventListener("error", () => reject(video.error));
    });
    return await createImageBitmap(video);
  } finally {
    video.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}

async function draw(canvas) {
  const { job, kind } = canvas.dataset;
  const picture = kind === "video" ? await firstFrame(job) : await createImageBitmap(await blob(jobPath(job, "/result")));
  const scale = Math.min(1, SIDE / Math.min(picture.width, picture.height));
  canvas.width = picture.width * scale;
  canvas.height = picture.height * scale;
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
}

// A picture of a job that has succeeded; of a motion or of several images there is none.
export function thumbnail(job) {
  if (job.kind !== "video" && !job.result.media_type.startsWith("image/")) return make("span", { className: "how" }, job.result.media_type.split("/")[1].toUpperCase());
  const canvas = make("canvas", { width: 1, height: 1, dataset: { job: job.id, kind: job.kind } });
  seen.observe(canvas);
  return canvas;
}
