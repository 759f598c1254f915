// What a file is, by how it begins. The service recognises it anew; this is so that people need not wait for that.

const BEGINNINGS = [
  ["image/jpeg", "\xff\xd8\xff"],
  ["image/png", "\x89PNG"],
  ["image/gif", "GIF8"],
  ["image/bmp", "BM"],
  ["image/tiff", "II*\0"],
  ["image/tiff", "MM\0*"],
  ["image/jxl", "\xff\n"],
  ["image/jxl", "\0\0\0\fJXL "],
  ["image/vnd.adobe.photoshop", "8BPS"],
  ["audio/flac", "fLaC"],
  ["audio/ogg", "OggS"],
  ["audio/mpeg", "ID3"],
  ["audio/amr-wb", "#!AMR-WB"],
  ["audio/amr", "#!AMR"],
  ["audio/midi", "MThd"],
  ["application/pdf", "%PDF"],
  ["application/zip", "PK\x03\x04"],
];
const RIFF = { WAVE: "audio/wav", "WEBP": "image/webp", "AVI ": "video/x-msvideo" };
const BRANDS = [ // the first that fits, of the main brand
  ["image/avif", /^avi[fs]/],
  ["image/heic", /^(hei[cxms]|hev[cxms]|mif1|msf1|miaf)/],
  ["audio/mp4", /^M4[AB] /],
  ["video/quicktime", /^qt /],
  ["video/mp4", /^/],
];
const HEAD_BYTES = 4096;

function ofBoxes(text) {
  if (text.slice(4, 8) !== "ftyp") return null;
  if (/^(mif1|msf1|miaf)/.test(text.slice(8)) && /avi[fs]/.test(text.slice(16, 64))) return "image/avif";
  return BRANDS.find(([, brand]) => brand.test(text.slice(8, 12)))[0];
}

function ofMatroska(text) {
  if (!text.startsWith("\x1a\x45\xdf\xa3")) return null;
  return text.includes("webm") ? "video/webm" : "video/matroska";
}

function ofFrames(text) {
  if (text.charCodeAt(0) !== 0xff || (text.charCodeAt(1) & 0xe0) !== 0xe0) return null;
  return (text.charCodeAt(1) & 0xf6) === 0xf0 ? "audio/aac" : "audio/mpeg";
}

function ofText(text) {
  if (!/^[^\0-\x08\x0e-\x1a\x1c-\x1f]*$/.test(text)) return null;
  return /^\s*(<\?xml[^]*|<!--[^]*)?<svg/i.test(text.slice(0, 1000)) ? "image/svg+xml" : "text/plain";
}

// The media type that the first bytes of a file speak of; what the browser takes it for where they say nothing.
export async function recognise(file) {
  const bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const text = String.fromCharCode(...bytes);
  const riff = text.startsWith("RIFF") ? RIFF[text.slice(8, 12)] : null;
  const aiff = text.startsWith("FORM") && text.slice(8, 11) === "AIF" ? "audio/aiff" : null;
  const stream = text[0] === "G" && text[188] === "G" && text[376] === "G" ? "video/mp2t" : null;
  const begins = BEGINNINGS.find(([, beginning]) => text.startsWith(beginning))?.[0];
  const found = riff ?? aiff ?? stream ?? ofBoxes(text) ?? ofMatroska(text) ?? begins ?? ofFrames(text) ?? ofText(text);
  // These containers do not say at their beginning whether there are pictures in them
  if (found?.startsWith("video/") && file.type.startsWith("audio/")) return found.replace("video/", "audio/");
  return found ?? (file.type || "application/octet-stream");
}
