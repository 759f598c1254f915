// The page of the service: a portrait, a pose or speech, and what comes of them.

const $ = (id) => document.getElementById(id);
const state = { portrait: null, portraitId: null, audio: null, mode: "pose", space: null, job: null, player: null, busy: false, again: false };

function headers() {
  const key = sessionStorage.getItem("key");
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Relative to the page, so that it works under whatever path a proxy serves it.
function address(job, part = "") {
  return `v1/jobs/${job.id}${part}`;
}

async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  if (response.status === 401) $("key-button").hidden = false;
  throw Object.assign(new Error(problem.detail), { type: problem.type });
}

// What was chosen

function droppable(name, onFile) {
  const area = $(`${name}-drop`);
  $(name).addEventListener("change", (event) => event.target.files[0] && onFile(event.target.files[0]));
  area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
  });
}

function refresh() {
  $("submit").disabled = state.busy || !state.portrait || (state.mode === "speech" ? !state.audio : !state.space);
}

droppable("portrait", (file) => {
  state.portrait = file;
  state.portraitId = null;
  URL.revokeObjectURL($("preview").src);
  $("preview").src = URL.createObjectURL(file);
  $("preview").hidden = false;
  $("portrait-hint").hidden = true;
  refresh();
});

// Not every browser shows every photo that the service takes.
$("preview").addEventListener("error", () => {
  $("preview").hidden = true;
  $("portrait-hint").hidden = false;
  $("portrait-hint").textContent = state.portrait.name;
});

droppable("audio", (file) => {
  state.audio = file;
  $("audio-hint").textContent = file.name;
  refresh();
});

const hlsLibrary = () => import("./hls.light.min.mjs");

function choose(mode) {
  state.mode = mode;
  for (const name of ["pose", "speech"]) {
    $(`tab-${name}`).setAttribute("aria-selected", String(name === mode));
    $(`panel-${name}`).hidden = name !== mode;
  }
  if (mode === "speech") hlsLibrary().catch(() => {}); // so that it is there when a video can play
  refresh();
}
$("tab-pose").addEventListener("click", () => choose("pose"));
$("tab-speech").addEventListener("click", () => choose("speech"));

// Controls, as the service lists them

function slider(control) {
  const label = document.createElement("label");
  label.className = "row";
  label.title = control.description;
  const input = document.createElement("input");
  const output = document.createElement("output");
  Object.assign(input, { type: "range", min: control.minimum, max: control.maximum, step: "any" }); // any: steps would miss the neutral value
  input.dataset.control = control.name;
  input.dataset.neutral = control.neutral;
  input.value = control.neutral;
  const unit = control.unit.startsWith("deg") ? "°" : "";
  const show = () => { output.textContent = `${Number(input.value).toFixed(unit ? 0 : 2)}${unit}`; };
  input.addEventListener("input", () => { show(); followSlider(); });
  show();
  label.append(control.name.replaceAll("_", " "), input, output);
  return label;
}

async function loadControls() {
  const area = $("controls");
  try {
    const { spaces } = await (await call("v1/controls")).json();
    area.replaceChildren();
    if (!spaces.length) throw new Error("No renderer is installed on this server.");
    state.space = spaces[0];
    let group = null;
    for (const control of state.space.controls) {
      if (control.group !== group) {
        group = control.group;
        const heading = document.createElement("h2");
        heading.textContent = group;
        area.append(heading);
      }
      area.append(slider(control));
    }
  } catch (error) {
    area.replaceChildren(message(error.message));
  }
  refresh();
}

$("neutral").addEventListener("click", () => {
  for (const input of document.querySelectorAll("[data-control]")) {
    input.value = input.dataset.neutral;
    input.dispatchEvent(new Event("input"));
  }
});

for (const name of ["pose_scale", "expression_scale"]) {
  const show = () => { $(name).nextElementSibling.textContent = Number($(name).value).toFixed(2); };
  $(name).addEventListener("input", show);
  show();
}

$("key-button").addEventListener("click", () => {
  const key = prompt("API key");
  if (key) { sessionStorage.setItem("key", key); loadControls(); }
});

// A job

function message(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "bad";
  paragraph.textContent = text;
  return paragraph;
}

function motion() {
  const controls = {};
  for (const input of document.querySelectorAll("[data-control]")) {
    if (Number(input.value) !== Number(input.dataset.neutral)) controls[input.dataset.control] = Number(input.value);
  }
  return { space: state.space.space, controls, relative: true };
}

// The photo is uploaded once; every job after that names it.
async function portraitId() {
  if (!state.portraitId) {
    const data = new FormData();
    data.append("portrait", state.portrait);
    state.portraitId = (await (await call("v1/portraits", { method: "POST", body: data })).json()).id;
  }
  return state.portraitId;
}

async function form() {
  const data = new FormData();
  data.append("portrait_id", await portraitId());
  const options = { paste_back: $("paste_back").checked };
  if (state.mode === "speech") {
    data.append("audio", state.audio);
    Object.assign(options, {
      pose_scale: Number($("pose_scale").value),
      expression_scale: Number($("expression_scale").value),
      blink_rate: $("blink").checked ? null : 0,
      still: $("still").checked,
    });
  } else {
    data.append("motion", JSON.stringify(motion()));
  }
  data.append("options", JSON.stringify(options));
  return data;
}

function showProgress(stage, done, total) {
  $("status").textContent = total ? `${stage} ${done} of ${total}` : stage;
  if (total) $("progress").value = done / total;
  else $("progress").removeAttribute("value");
}

// Server-sent events read with fetch, since EventSource can send no key; resumed when the line breaks.
async function follow(job) {
  let last = "";
  for (let attempt = 0; attempt < 5; attempt += 1) {
    try {
      const response = await call(address(job, "/events"), { headers: last ? { "Last-Event-ID": last } : {} });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
          if (fields.id) last = fields.id;
          if (fields.data) {
            const data = JSON.parse(fields.data);
            if (fields.event === "progress") showProgress(data.stage, data.done, data.total);
            else if (fields.event === "status") showProgress(data.status);
            else if (fields.event === "segment") state.player ??= new Player(job);
          }
        }
      }
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

// As large as it is, but never higher than the window. Nothing moves when another source comes.
function videoElement(properties) {
  const video = Object.assign(document.createElement("video"), { controls: true, playsInline: true, ...properties });
  video.addEventListener("loadedmetadata", () => {
    const ratio = video.videoWidth / video.videoHeight;
    video.style.width = `min(${video.videoWidth}px, ${85 * ratio}vh)`;
    video.style.aspectRatio = ratio;
  });
  return video;
}

// Plays a video while it is made: by hls.js, or by the browser itself where that can and no key is needed. When all of
// it has been seen, or where it cannot be played so, the finished file takes its place.
class Player {
  constructor(job) {
    this.hls = null;
    this.left = false; // the stream, since it was seen or cannot be
    this.url = null; // of the finished file
    this.video = videoElement({ autoplay: true, hidden: true });
    this.video.addEventListener("loadeddata", () => { this.video.hidden = false; });
    this.video.addEventListener("ended", () => this.leave());
    $("result").replaceChildren(this.video);
    this.play(job).catch(() => this.fail());
  }

  async play(job) {
    const source = address(job, "/stream.m3u8");
    const { default: Hls } = await hlsLibrary();
    if (this.left) return;
    if (Hls.isSupported()) {
      this.hls = new Hls({ enableWorker: false, startPosition: 0, xhrSetup: (request, url) => {
        request.open("GET", url);
        for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
      } });
      this.hls.on(Hls.Events.ERROR, (_, error) => error.fatal && this.fail());
      this.hls.loadSource(source);
      this.hls.attachMedia(this.video);
    } else if (this.video.canPlayType("application/vnd.apple.mpegurl") && !headers().Authorization) {
      this.video.addEventListener("error", () => this.fail(), { once: true });
      this.video.src = source;
    } else {
      this.fail();
    }
  }

  fail() {
    if (!this.url) this.video.hidden = true;
    this.leave();
  }

  leave() {
    this.left = true;
    if (this.url) this.playFile();
  }

  offer(url) {
    this.url = url;
    if (this.left) this.playFile();
  }

  playFile() {
    const { ended, paused, currentTime } = this.video;
    this.close();
    Object.assign(this.video, { loop: true, autoplay: !ended && !paused, src: this.url });
    if (!ended && currentTime) this.video.currentTime = currentTime; // where the stream was
  }

  close() {
    this.left = true;
    this.hls?.destroy();
    this.hls = null;
  }
}

// In place of what was shown before.
function replaceResult(...nodes) {
  state.player?.close();
  state.player = null;
  $("result").replaceChildren(...nodes);
}

async function show(job) {
  const response = await call(address(job, "/result"));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = `portrait.${job.result.media_type.split("/")[1]}`;
  link.textContent = "Download";
  const times = document.createElement("p");
  times.className = "quiet";
  times.textContent = Object.entries(job.timings).map(([stage, seconds]) => `${stage} ${seconds.toFixed(2)} s`).join(" · ");
  if (state.player) { // it goes on
    state.player.offer(url);
    $("result").append(link, times);
    return;
  }
  const video = job.result.media_type.startsWith("video/");
  const media = video ? videoElement({ loop: true }) : document.createElement("img");
  media.src = url;
  if (!video) media.alt = "The re-posed portrait";
  for (const old of $("result").querySelectorAll("a")) URL.revokeObjectURL(old.href);
  $("result").replaceChildren(media, link, times);
}

async function create() {
  const path = state.mode === "speech" ? "v1/videos" : "v1/images";
  const post = async () => (await call(path, { method: "POST", body: await form() })).json();
  try {
    return await post();
  } catch (error) {
    if (!error.type?.endsWith("/no-such-portrait")) throw error;
    state.portraitId = null; // it has expired
    return post();
  }
}

async function animate() {
  state.busy = true;
  state.again = false;
  refresh();
  $("outcome").hidden = false;
  $("progress").hidden = false;
  if (state.player || !$("live").checked) replaceResult(); // a slider's picture stays until the next one comes
  showProgress("uploading");
  try {
    let job = await create();
    state.job = job;
    $("cancel").hidden = false;
    do {
      await follow(job);
      job = await (await call(address(job))).json();
    } while (["queued", "running"].includes(job.status));
    $("status").textContent = job.status;
    if (job.status === "succeeded") await show(job);
    else replaceResult(...(job.error ? [message(job.error.detail)] : []));
  } catch (error) {
    $("status").textContent = "";
    replaceResult(message(error.message));
  } finally {
    $("progress").hidden = true;
    $("cancel").hidden = true;
    state.busy = false;
    refresh();
  }
  if (state.again) await animate();
}

// While a picture is made the sliders move on: then one more is made, of where they are by then.
function followSlider() {
  if (!$("live").checked || !state.portrait || state.mode !== "pose") return;
  if (state.busy) state.again = true;
  else animate();
}
$("live").addEventListener("change", followSlider);

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  animate();
});

$("cancel").addEventListener("click", () => {
  if (state.job) call(address(state.job, "/cancel"), { method: "POST" }).catch(() => {});
});

loadControls();
