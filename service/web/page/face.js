// A small drawn face that shows a pose, for buttons.

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const eye = (x, closed) =>
  closed > 0.6
    ? shape("path", { d: `M${x - 2.6} 0 q2.6 2.4 5.2 0` })
    : shape("ellipse", { class: "solid", cx: x, cy: 0, rx: 1.7, ry: 2.4 - 2 * closed });

const brow = (x, raised, lowered) => {
  const side = Math.sign(x);
  const y = -6 - 2.5 * raised + 1.5 * lowered;
  return shape("path", { d: `M${x - side * 3} ${y + 2 * lowered} Q${x} ${y - 2 + lowered} ${x + side * 3} ${y}` });
};

function mouth({ smile = 0, frown = 0, jaw_open: open = 0, pucker = 0 }) {
  if (pucker > 0.5) return shape("ellipse", { cx: 0, cy: 8, rx: 2, ry: 2.4 });
  if (open && !smile) return shape("ellipse", { class: "solid", cx: 0, cy: 9, rx: 2.6, ry: 1 + 5 * open });
  const wide = 5 + 2 * smile;
  const corner = 8 - 2.5 * smile + 2 * frown;
  const middle = corner + 7 * smile - 6 * frown;
  const upper = `M${-wide} ${corner} Q0 ${open ? corner + 1 : middle} ${wide} ${corner}`;
  return open
    ? shape("path", { class: "solid", d: `${upper} Q0 ${middle + 14 * open} ${-wide} ${corner} Z` })
    : shape("path", { d: upper });
}

// Values as the controls have them: left and right are the person's own, so a left lid is drawn on the right.
export function drawFace(values) {
  const { yaw = 0, pitch = 0, brow_raise: raised = 0, brow_lower: lowered = 0 } = values;
  const features = [eye(-6, values.blink_right ?? 0), eye(6, values.blink_left ?? 0), mouth(values)];
  if (raised || lowered) features.push(brow(-6, raised, lowered), brow(6, raised, lowered));
  const place = `translate(${20 + yaw / 2} ${17.5 - pitch / 1.8}) scale(${1 - Math.abs(yaw) / 70} 1)`;
  return shape(
    "svg",
    { viewBox: "0 0 40 40", class: "face", "aria-hidden": "true" },
    shape("circle", { cx: 20, cy: 20, r: 17.5 }),
    shape("g", { transform: place }, ...features),
  );
}
