// The legend of codes, the pad of actions, and the frames to start from.
const SIGNS = { up: "↑", down: "↓", left: "←", right: "→", strafe_left: "⇤", strafe_right: "⇥", fire: "●" };
const SVG = "http://www.w3.org/2000/svg";

function element(name, text = "", properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(text);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Mean motion in pixels as an arrow; `longest` of the legend fills the ring.
function arrow([x, y], longest) {
  const svg = drawn("svg", { viewBox: "-18 -18 36 36", role: "img", "aria-label": `mean motion ${x}, ${y} pixels` });
  svg.append(drawn("circle", { r: 17, class: "ring" }));
  const length = (16 * Math.hypot(x, y)) / Math.max(longest, 0.5);
  const [ux, uy] = length ? [x / Math.hypot(x, y), y / Math.hypot(x, y)] : [0, 0];
  if (length < 3) svg.append(drawn("circle", { r: 2.5, class: "tip" }));
  else {
    const [ex, ey] = [ux * length, uy * length];
    svg.append(drawn("line", { x1: -ex, y1: -ey, x2: ex - 4 * ux, y2: ey - 4 * uy, class: "shaft" }));
    const corners = [[ex, ey], [ex - 7 * ux - 4 * uy, ey - 7 * uy + 4 * ux], [ex - 7 * ux + 4 * uy, ey - 7 * uy - 4 * ux]];
    svg.append(drawn("polygon", { points: corners.map((one) => one.map((v) => v.toFixed(1)).join()).join(" "), class: "tip" }));
  }
  return svg;
}

export function showCodes(place, board, keys) {
  const longest = Math.max(...board.codes.map(({ motion }) => Math.hypot(...motion)));
  const buttons = board.codes.map((code, number) => {
    const button = element("button");
    const name = element("span");
    name.append(element("b", code.action || code.name));
    const told = [
      code.action && code.action !== code.name && `code ${code.name}`,
      code.share && `${(100 * code.share).toFixed(1)} % of data`,
      number === board.still && "played without a key",
    ];
    name.append(element("small", told.filter(Boolean).join(", ")));
    const worth = element("span", "", { className: "worth" });
    if (code.reliability) {
      const [mean, low, high] = code.reliability.map((v) => v.toFixed(2));
      worth.append(element("b", mean), element("small", `${low}–${high}`, { title: `of ${code.labels}` }));
    }
    if (!code.validated) worth.append(element("small", "not validated", { className: "mark" }));
    button.append(code.key ? element("kbd", code.key) : element("span"), arrow(code.motion, longest), name, worth);
    button.classList.toggle("unproven", !code.validated);
    keys.holds(button, `code ${number}`, { code: number });
    return button;
  });
  place.replaceChildren(...buttons);
  return buttons;
}

export function showPad(place, board, keys) {
  place.replaceChildren(...board.actions.map((action) => {
    const signs = action.keys.map((key) => SIGNS[key]).join("");
    const button = element("button", signs ? `${signs} ${action.name}` : action.name);
    button.classList.toggle("unproven", !board.codes[action.code].validated);
    keys.holds(button, `action ${action.name}`, { code: action.code });
    return button;
  }));
}

export function showStarts(place, facts, chosen) {
  const buttons = new Map();
  if (facts.live !== null) buttons.set(facts.live, element("button", "Simulator", { title: "its own start, by the seed" }));
  for (const { index, label, picture } of facts.starts) {
    const button = element("button", "", { title: label });
    button.append(Object.assign(new Image(), { src: picture, alt: label }));
    buttons.set(index, button);
  }
  buttons.forEach((button, index) => { button.onclick = () => chosen(index); });
  place.replaceChildren(...buttons.values());
  return buttons;
}
