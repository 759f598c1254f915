// Parts of forms: choices of one, boxes, sliders; and the options of jobs that stand behind "more".

import { asMotion } from "./controls.js";
import { make } from "./elements.js";
import { state } from "./state.js";
import { numbers, t } from "./words.js";

const FORMATS = { png: "PNG", jpeg: "JPEG", webp: "WebP", mp4: "MP4", webm: "WebM", gif: "GIF" };
const written = numbers();
const SILENT = ["gif", "webp"];
const TAKES = 1_000_000; // that are drawn: short enough to be told to others
const SIZES = [256, 512, 720, 1080, 1280, 1920];

// One of several, as radio buttons. `values`: by value its words. `onChange` is told what the reader chose.
export function choice({ name, legend, values, value, onChange }) {
  const element = make("fieldset", { className: "choice" }, make("legend", { textContent: legend }));
  for (const [each, words] of Object.entries(values)) {
    const input = make("input", { type: "radio", name, value: each, checked: each === value });
    input.addEventListener("change", () => onChange(each));
    element.append(make("label", {}, input, make("span", { textContent: words })));
  }
  return element;
}

export function checkbox(id, words, checked = false) {
  const input = make("input", { type: "checkbox", id, checked });
  return { element: make("label", { className: "check" }, input, words), input };
}

// Whether the pose of the first tab goes on top, and as which motion; null where it does not, or is neutral.
export function keepPose(id, { checked }) {
  const { element, input } = checkbox(id, t("option.keep-pose"), checked);
  const motion = () => (input.checked && state.get("space") && Object.keys(state.get("controls")).length ? asMotion() : null);
  return { element, motion };
}

function slider({ id, words, minimum = 0, maximum, neutral }) {
  const input = make("input", { type: "range", id, min: minimum, max: maximum, step: 0.05, value: neutral });
  const output = make("output", { htmlFor: id, "aria-live": "off" });
  const show = () => { output.textContent = written(Number(input.value)); };
  input.addEventListener("input", show);
  show();
  return { element: make("label", { className: "setting" }, make("span", { textContent: words }), input, output), value: () => Number(input.value) };
}

function select(id, words, values, value = "") {
  const options = Object.entries(values).map(([each, text]) => make("option", { value: each, textContent: text, selected: each === value }));
  const input = make("select", { id }, ...options);
  return { element: make("label", { className: "setting" }, make("span", { textContent: words }), input), input, value: () => input.value };
}

// By format its name. Of those of videos it says which have no sound.
export function formatWords(formats) {
  const silent = (format) => formats.includes("mp4") && SILENT.includes(format);
  return Object.fromEntries(formats.map((format) => [format, silent(format) ? t("format.silent", { format: FORMATS[format] }) : FORMATS[format]]));
}

// A seed for speech.
export const drawTake = () => Math.floor(Math.random() * TAKES);

const SCALES = {
  pose_scale: { maximum: 2, neutral: 1 },
  expression_scale: { maximum: 2, neutral: 1 },
  temperature: { maximum: 1.5, neutral: 0.7 },
};
const scale = (name) => (prefix) => slider({ id: `${prefix}-${name}`, words: t(`option.${name}`), ...SCALES[name] });

// A part of what all tabs share: it shows state.options and changes them.
function shared(made, input, name, { read, write }) {
  input.addEventListener("change", () => state.set({ options: { ...state.get("options"), [name]: read() } }));
  state.watch(["options"], ({ options }) => write(options[name]));
  return { element: made.element, value: () => state.get("options")[name] };
}

function sharedBox(prefix, name, checked) {
  const box = checkbox(`${prefix}-${name}`, t(`option.${name}`));
  return shared(box, box.input, name, { read: () => box.input.checked, write: (value) => { box.input.checked = value ?? checked; } });
}

const OPTIONS = {
  pose_scale: scale("pose_scale"),
  expression_scale: scale("expression_scale"),
  temperature: scale("temperature"),
  blink_rate(prefix) {
    const box = checkbox(`${prefix}-blink`, t("option.blink"), true);
    return { element: box.element, value: () => (box.input.checked ? undefined : 0) };
  },
  still(prefix) {
    const box = checkbox(`${prefix}-still`, t("option.still"));
    return { element: box.element, value: () => box.input.checked };
  },
  seed(prefix) {
    const input = make("input", { type: "number", id: `${prefix}-seed`, min: 0, max: 2 ** 32 - 1, step: 1, placeholder: t("option.seed-any") });
    const element = make("label", { className: "setting" }, make("span", { textContent: t("option.seed") }), input);
    return { element, value: () => (input.value === "" || !input.validity.valid ? undefined : Number(input.value)) };
  },
  paste_back: (prefix) => sharedBox(prefix, "paste_back", true),
  label: (prefix) => sharedBox(prefix, "label", false),
  size(prefix) {
    const sizes = { "": t("option.size-own"), ...Object.fromEntries(SIZES.map((size) => [size, t("option.size-pixels", { size })])) };
    const made = select(`${prefix}-size`, t("option.size"), sizes);
    return shared(made, made.input, "size", {
      read: () => (made.input.value ? Number(made.input.value) : undefined),
      write: (value) => { made.input.value = value ?? ""; },
    });
  },
  format(prefix, formats) {
    return select(`${prefix}-format`, t("option.format"), formatWords(formats), formats[0]);
  },
};

// Some of the options behind a disclosure. values(names): what a job takes; what is not set is left out. show(name,
// whether): one that may not be of use.
export function moreOptions(prefix, names, { formats }) {
  const made = Object.fromEntries(names.map((name) => [name, OPTIONS[name](prefix, formats)]));
  const element = make("details", { className: "more" }, make("summary", { textContent: t("option.more") }),
    ...Object.values(made).map((each) => each.element));
  const values = (some = names) => Object.fromEntries(some.map((name) => [name, made[name].value()]).filter(([, value]) => value !== undefined));
  const show = (name, whether) => { made[name].element.hidden = !whether; };
  return { element, values, show };
}
