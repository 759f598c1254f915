// Poses a portrait and lets it speak, by forms: node forms.ts URL PORTRAIT SPEECH IMAGE VIDEO

import { openAsBlob } from "node:fs";
import { client, image, kept, portrait, speech, video } from "./service.ts";

/** Files as they are, all else as JSON. */
function form(fields: object): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    data.append(name, value instanceof Blob ? value : JSON.stringify(value));
  }
  return data;
}

const posed = await client.POST("/v1/images", {
  params: { header: { "Idempotency-Key": "posed" } },
  body: {
    portrait: await openAsBlob(portrait),
    motion: { controls: { yaw: 20, smile: 0.4 } },
    options: { format: "webp" },
  },
  bodySerializer: form,
});
await kept(posed, image);

const talking = await client.POST("/v1/videos", {
  body: {
    portrait: await openAsBlob(portrait),
    audio: await openAsBlob(speech),
    options: { paste_back: false, seed: 3 },
  },
  bodySerializer: form,
});
await kept(talking, video);
