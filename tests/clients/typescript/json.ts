// Poses a portrait and lets it speak, in JSON: node json.ts URL PORTRAIT SPEECH IMAGE VIDEO

import { readFile } from "node:fs/promises";
import { client, image, kept, portrait, speech, video } from "./service.ts";

/** A file as an address that holds it. */
async function inPlace(file: string, type: string): Promise<string> {
  return `data:${type};base64,${await readFile(file, "base64")}`;
}

const posed = await client.POST("/v1/images", {
  params: { header: { "Idempotency-Key": "posed in JSON" } },
  body: {
    portrait: await inPlace(portrait, "image/jpeg"),
    motion: { controls: { yaw: 20, smile: 0.4 } },
    options: { format: "webp" },
  },
});
await kept(posed, image);

const talking = await client.POST("/v1/videos", {
  body: {
    portrait: await inPlace(portrait, "image/jpeg"),
    audio: await inPlace(speech, "audio/wav"),
    options: { paste_back: false, seed: 3 },
  },
});
await kept(talking, video);
