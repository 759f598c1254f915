// Small helpers to build the page's parts.

export const $ = (id) => document.getElementById(id);

// An element with properties (dataset and style among them), attributes with a hyphen or named `role`, and children.
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "dataset" || key === "style") Object.assign(element[key], value);
    else if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A dialog that is open, with a heading; gone from the page once it is closed.
export function openDialog(heading, ...children) {
  const title = make("h2", { id: "dialog-title" }, heading);
  const dialog = make("dialog", { "aria-labelledby": title.id }, title, ...children);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// A button that does something beside what the page is about.
export const button = (text, properties = {}) => make("button", { type: "button", className: "plain", textContent: text, ...properties });
