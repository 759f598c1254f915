// The last jobs as thumbnails: to look at again, and to delete.

import { call, jobPath, json } from "./api.js";
import { $, make } from "./elements.js";
import { announce, tellError } from "./notices.js";
import { openJob } from "./share.js";
import { state } from "./state.js";
import { thumbnail } from "./thumbnails.js";
import { has, language, quantity, t } from "./words.js";

const SHOWN = 12;
const ENDED = ["succeeded", "failed", "canceled", "expired"];

// "5 minutes ago"
function ago(time) {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, length]) => -seconds >= length) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(language(), { numeric: "auto" }).format(Math.round(Math.min(seconds, 0) / size), unit);
}

// "Speech, 7.1 s": by the tab that it was made in, where it was made in one
function what({ kind, metadata, result }) {
  if (result?.images) return t("history.images", { count: result.images });
  const name = t(["speech", "follow"].includes(metadata.what) ? `${metadata.what}.tab` : `history.${kind}`);
  return result?.duration ? t("history.timed", { name, time: quantity(result.duration, "second", 1) }) : name;
}

function how(job) {
  if (job.status === "succeeded") return null;
  if (job.status === "failed") return t(has(`problem.${slug(job)}`) ? `problem.${slug(job)}` : "problem.theirs");
  return t(`history.${job.status}`);
}

const slug = (job) => job.error.type.split("/").pop();

// One job, and how to be rid of it.
function entry(job, onDelete) {
  const state = how(job);
  const name = [what(job), ago(job.created_at), state].filter(Boolean).join(", ");
  const open = make(
    "button",
    { type: "button", className: "past", "aria-label": name, onclick: () => openJob(job.id) },
    make("span", { className: "thumbnail" }, state ? make("span", { className: "how" }, state) : thumbnail(job)),
    make("span", { className: "what" }, what(job)),
    make("time", { dateTime: job.created_at, className: "small" }, ago(job.created_at)),
  );
  const remove = make("button", { type: "button", className: "plain remove", "aria-label": t("history.delete", { name }) }, "×");
  remove.addEventListener("click", () => {
    if (remove.dataset.sure) return onDelete(job);
    remove.dataset.sure = "yes";
    remove.textContent = t("history.sure");
    remove.setAttribute("aria-label", t("history.sure-label", { name }));
    announce(t("history.sure-label", { name }));
  });
  remove.addEventListener("blur", () => {
    delete remove.dataset.sure;
    remove.textContent = "×";
    remove.setAttribute("aria-label", t("history.delete", { name }));
  });
  return make("li", { dataset: { job: job.id, status: job.status } }, open, remove);
}

// Fill the section with the last jobs, and do so again whenever one begins or ends.
export function fillHistory(section) {
  const list = make("ol", { className: "history" });
  section.append(make("h2", {}, t("history.label")), list);

  async function refresh() {
    const { jobs } = await json(`v1/jobs?limit=${SHOWN}`);
    const known = new Map([...list.children].map((each) => [`${each.dataset.job} ${each.dataset.status}`, each]));
    const focused = document.activeElement;
    list.replaceChildren(...jobs.map((job) => known.get(`${job.id} ${job.status}`) ?? entry(job, remove)));
    if (list.contains(focused)) focused.focus({ preventScroll: true }); // which falls off what is put in anew
    section.hidden = !jobs.length;
    for (const time of list.querySelectorAll("time")) time.textContent = ago(time.dateTime);
    for (const { dataset, firstChild } of list.children) firstChild.setAttribute("aria-current", String(dataset.job === state.get("job")?.id));
  }

  async function remove(job) {
    try {
      await call(jobPath(job.id), { method: "DELETE" });
      if (state.get("job")?.id === job.id) state.set({ job: null });
      announce(t("history.deleted"));
      await refresh();
      (list.querySelector("button") ?? $(`tab-${state.get("tab")}`)).focus();
    } catch (error) {
      tellError(error);
    }
  }

  const again = () => refresh().catch(() => {}); // who is to know is told by what they did themselves
  state.watch(["job"], ({ job }) => (!job || ENDED.includes(job.status) ? again() : null));
}
