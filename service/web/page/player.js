// Plays a video while it is made: by hls.js, or by the browser itself where that can and no key is needed. When all of it
// has been seen, or where it cannot be played so, the finished file takes its place.

import { headers, jobPath } from "./api.js";
import { make } from "./elements.js";
import { showVideo } from "./stage.js";
import { t } from "./words.js";

const hlsLibrary = () => import("../vendor/hls.light.min.mjs");

// Have the library there before a video can play.
export const preload = () => hlsLibrary().catch(() => {});

export class Player {
  #hls = null;
  #left = false; // the stream, since it was seen or cannot be
  #url = null; // of the finished file

  constructor(job) {
    this.video = make("video", { controls: true, playsInline: true, hidden: true, "aria-label": t("player.label") });
    this.soundButton = make("button", { type: "button", className: "plain sound-on", textContent: t("player.sound"), hidden: true });
    this.soundButton.addEventListener("click", () => { this.video.muted = false; });
    this.video.addEventListener("volumechange", () => { if (!this.video.muted) this.soundButton.hidden = true; });
    this.video.addEventListener("loadeddata", () => this.#show());
    this.video.addEventListener("ended", () => this.#leave());
    if (job) this.#stream(job).catch(() => this.#fail());
  }

  // Play a file that is there already.
  static of(url) {
    const player = new Player(null);
    player.#left = true;
    player.offer(url);
    return player;
  }

  // The finished file.
  offer(url) {
    this.#url = url;
    if (this.#left) this.#playFile();
  }

  close() {
    this.#left = true;
    this.#hls?.destroy();
    this.#hls = null;
    if (!this.#url) this.video.pause();
  }

  async #stream(job) {
    const source = jobPath(job.id, "/stream.m3u8");
    const { default: Hls } = await hlsLibrary();
    if (this.#left) return;
    if (Hls.isSupported()) {
      this.#hls = new Hls({ enableWorker: false, startPosition: 0, xhrSetup: (request, url) => {
        request.open("GET", url);
        for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
      } });
      this.#hls.on(Hls.Events.ERROR, (_, error) => error.fatal && this.#fail());
      this.#hls.loadSource(source);
      this.#hls.attachMedia(this.video);
    } else if (this.video.canPlayType("application/vnd.apple.mpegurl") && !headers().Authorization) {
      this.video.addEventListener("error", () => this.#fail(), { once: true });
      this.video.src = source;
    } else {
      this.#fail();
    }
  }

  #show() {
    if (!this.video.hidden) return;
    this.video.hidden = false;
    showVideo(this.video);
    this.#play();
  }

  // With sound if the browser lets it; else without, and a button brings it.
  #play() {
    this.video.play().catch((error) => {
      if (error.name !== "NotAllowedError" || this.video.muted) return;
      this.video.muted = true;
      this.soundButton.hidden = false;
      this.video.play().catch(() => {}); // then the reader starts it
    });
  }

  #fail() {
    if (!this.#url) this.video.hidden = true;
    this.#leave();
  }

  #leave() {
    this.#left = true;
    if (this.#url) this.#playFile();
  }

  #playFile() {
    const { ended, paused, currentTime, hidden } = this.video;
    this.close();
    Object.assign(this.video, { loop: true, src: this.#url });
    if (!ended && currentTime) this.video.currentTime = currentTime; // where the stream was
    if (!hidden && (ended || !paused)) this.#play();
  }
}
