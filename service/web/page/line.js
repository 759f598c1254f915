// One connection of the live protocol, as docs/live.md has it.

import { key } from "./api.js";

const PROTOCOL = "pirenderer.live.v1";
const SOUND = 1; // first bytes of what is sent
const CAMERA = 2;
const SOUND_AHEAD = 65_536; // bytes that may wait in the browser before sound is left out

// Headers cannot be sent here; so the key goes as the name of a protocol.
function protocols() {
  if (!key.get()) return [PROTOCOL];
  const bytes = String.fromCharCode(...new TextEncoder().encode(key.get()));
  const text = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return [PROTOCOL, `key.${text}`];
}

function address() {
  const url = new URL("v1/live", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

export class Line {
  #socket;
  #on;
  #next = null; // the newest picture that is not decoded yet; older ones are left out
  #decoding = false;

  // `on` is told: said(message), picture(header, bitmap, jpeg), closed({code, opened, problem}).
  constructor(start, on) {
    this.#on = on;
    this.#socket = new WebSocket(address(), protocols());
    this.#socket.binaryType = "arraybuffer";
    let opened = false;
    let problem = null;
    this.#socket.addEventListener("open", () => {
      opened = true;
      this.say({ type: "start", ...start });
    });
    this.#socket.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return this.#receive(data);
      const message = JSON.parse(data);
      if (message.type === "problem") problem = message.problem;
      on.said(message);
    });
    this.#socket.addEventListener("close", ({ code }) => on.closed({ code, opened, problem: code === 1008 ? problem : null }));
  }

  // Whether what was sent has left the browser. While it has not, more would only come later.
  get free() {
    return this.#open && this.#socket.bufferedAmount === 0;
  }

  get #open() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  say(message) {
    if (this.#open) this.#socket.send(JSON.stringify(message));
  }

  sound(samples) {
    if (this.#open && this.#socket.bufferedAmount < SOUND_AHEAD) this.#socket.send(new Blob([Uint8Array.of(SOUND), samples]));
  }

  camera(jpeg) {
    if (this.free) this.#socket.send(new Blob([Uint8Array.of(CAMERA), jpeg]));
  }

  close() {
    this.say({ type: "end" });
    this.#socket.close(1000);
  }

  #receive(data) {
    const length = new DataView(data).getUint16(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 2, length)));
    this.#next = { header, jpeg: new Blob([new Uint8Array(data, 2 + length)], { type: "image/jpeg" }) };
    if (!this.#decoding) this.#decode();
  }

  async #decode() {
    this.#decoding = true;
    while (this.#next) {
      const { header, jpeg } = this.#next;
      this.#next = null;
      const bitmap = await createImageBitmap(jpeg).catch(() => null); // of a picture cut short
      if (bitmap) this.#on.picture(header, bitmap, jpeg);
    }
    this.#decoding = false;
  }
}
