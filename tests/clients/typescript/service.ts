// What both programs share: the client, and the way from a job to its result.

import { writeFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

export type Job = components["schemas"]["Job"];
export type Problem = components["schemas"]["Problem"];

/** Where the service is; files of a portrait and of speech; where results go. */
export const [baseUrl = "", portrait = "", speech = "", image = "", video = ""] = process.argv.slice(2);
export const client = createClient<paths>({ baseUrl });

/** Wait for a job that was begun, keep its result, and say what became of it. */
export async function kept(begun: { data?: Job; error?: Problem }, file: string): Promise<void> {
  let job = taken(begun);
  const params = { path: { job_id: job.id } };
  while (job.status === "queued" || job.status === "running") {
    await setTimeout(100);
    job = taken(await client.GET("/v1/jobs/{job_id}", { params }));
  }
  if (job.status !== "succeeded") throw new Error(job.error?.detail ?? job.status);
  const result = taken(await client.GET("/v1/jobs/{job_id}/result", { params, parseAs: "blob" }));
  await writeFile(file, result.stream());
  console.log(JSON.stringify(job));
}

function taken<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(error?.detail);
  return data;
}
