
/* The curves and samples of trainings, for the report and for the live page. */

const body = (id) => at(id).querySelector(".body");
const note = (...content) => make("p", { class: "note" }, ...content);

/* A command, and a button that copies it. */
function copyable(command) {
  const line = make("pre", {}, command);
  const copy = make("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(command); copy.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(line); copy.textContent = "Selected"; }
  } }, "Copy");
  return make("div", { class: "copy" }, line, copy);
}

/* A table of texts. */
function grid(heads, rows) {
  const head = heads.length ? [make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, named(text)))))] : [];
  return make("div", { class: "scroll" }, make("table", { class: `stacked columns-${(rows[0] ?? heads).length - 1}` }, ...head, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, named(text))))))));
}

/* Samples over time. `show` takes rows with at least one of `samples`, by step, and a `label` if there are several. */
function samplesOverTime() {
  const strips = make("div", { class: "strips" });
  const step = make("output", {});
  const range = make("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Step", oninput: draw });
  const play = make("button", { type: "button", onclick: toggle, "aria-label": "Play" }, "▶");
  const enlarge = make("button", { type: "button", class: "enlarge", "aria-pressed": "false", onclick: () => {
    enlarge.setAttribute("aria-pressed", String(strips.classList.toggle("large")));
  } }, "Enlarge");
  const element = make("div", {}, strips, make("div", { class: "turn" }, play, range, step, enlarge));
  let rows = [], steps = [], timer = 0;

  /* The last position stays the last one when samples are added. */
  function show(wanted) {
    const before = steps[range.value], atEnd = Number(range.value) === steps.length - 1;
    if (wanted.length !== rows.length) {
      strips.replaceChildren(...wanted.map(() => make("figure", {}, make("figcaption", { class: "name" }), make("div", { class: "strip" }, make("img", { alt: "" })))));
    }
    rows = wanted;
    steps = [...new Set(rows.flatMap(({ samples }) => samples.map((each) => each.step)))].sort((x, y) => x - y);
    range.max = steps.length - 1;
    range.value = atEnd || before === undefined ? steps.length - 1 : nearest(steps, before);
    play.hidden = range.hidden = steps.length < 2;
    draw();
  }
  function draw() {
    const now = steps[range.value];
    rows.forEach(({ label, colour, samples }, i) => {
      const [caption, strip] = strips.children[i].children, image = strip.firstChild;
      const sample = samples.findLast((each) => each.step <= now) ?? samples[0];
      caption.hidden = !label;
      caption.replaceChildren(...(label ? [swatch(colour), named(label), make("span", { class: "pale" }, ` step ${whole(sample.step)}`)] : []));
      if (image.getAttribute("src") === sample.picture) return;
      image.src = sample.picture;
      image.alt = `Held-out pictures at step ${sample.step}`;
    });
    step.textContent = now === undefined ? "" : `step ${whole(now)}`;
    range.setAttribute("aria-valuetext", step.textContent);
  }
  function toggle() {
    if (timer) return stop();
    if (Number(range.value) === steps.length - 1) range.value = 0;
    draw();
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    timer = setInterval(() => {
      if (Number(range.value) === steps.length - 1) return stop();
      range.value = Number(range.value) + 1;
      draw();
    }, 600);
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  }
  return { element, show };
}

/* Curves */

/* Losses of single steps are noisy and may be smoothed. A schedule and a measurement are drawn as they are. */
const groups = [
  { title: "Validation", pattern: /^validation/, smooth: false },
  { title: "Generators", pattern: /^gan/, smooth: true },
  { title: "Discriminators", pattern: /^discriminator/, smooth: true },
  { title: "Cycle loss", pattern: /^cycle/, smooth: true },
  { title: "Contrastive loss", pattern: /^nce/, smooth: true },
  { title: "Identity loss", pattern: /^identity/, smooth: true },
  { title: "Other losses", pattern: null, smooth: true },
  { title: "Spread, brightness, diversity", pattern: /^(spread|brightness|diversity)/, smooth: false },
  { title: "Learning rate", pattern: /^lr$/, smooth: false },
];
const groupOf = (name) => groups.find(({ pattern }) => pattern?.test(name)) ?? groups.find(({ pattern }) => !pattern);

const words = { gan: "adversarial", lr: "learning rate", l1: "L1", kl: "KL", validation_l1: "L1", validation_ssim: "SSIM", validation_distance: "distance", validation_cycle: "cycle error", validation_content: "lost content", nce: "contrastive", nce_identity: "contrastive, identity" };
const paths = { lr: "cLR-GAN", vae: "cVAE-GAN" };
const COLOURS = 6;
const colourOf = (i) => `var(--c${i % COLOURS})`;

function swatch(colour) {
  const square = make("i", { class: "swatch" });
  square.style.background = colour;
  return square;
}

/* The name of a logged number, with the names of the domains: gan_ab becomes "adversarial, horses → zebras". */
function spelled(name, { a, b }) {
  const [, term, place] = /^(.+)_(ab|ba|a|b|lr|vae)$/.exec(name) ?? [null, name, null];
  const where = place && ({ a, b, ab: `${a} → ${b}`, ba: `${b} → ${a}` }[place] ?? paths[place]);
  return [words[term] ?? term.replaceAll("_", " "), where].filter(Boolean).join(", ");
}

/* The charts of one run: a chart for each kind of number. */
function chartsOf(curves, names) {
  return groups.flatMap((group) => {
    const lines = curves.filter(({ name }) => groupOf(name) === group)
      .map((curve, i) => ({ ...curve, label: spelled(curve.name, names), colour: colourOf(i) }));
    const parts = [];
    for (let i = 0; i < lines.length; i += COLOURS) parts.push({ title: i ? `${group.title}, ${1 + i / COLOURS}` : group.title, smooth: group.smooth, lines: lines.slice(i, i + COLOURS) });
    return parts;
  });
}

/* Charts and their controls. `show` draws charts; one of a title that it drew before is kept and updated. */
function curvesPanel() {
  const look = { smoothing: 0.6, log: false };
  const drawn = new Map();
  const place = make("div", { class: "charts" });
  const redraw = () => drawn.forEach((each) => each.draw());
  const smoothing = make("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: look.smoothing,
    oninput: (event) => { look.smoothing = Number(event.target.value); redraw(); } });
  const log = make("input", { type: "checkbox", onchange: (event) => { look.log = event.target.checked; redraw(); } });
  function show(charts) {
    for (const [title, { element }] of drawn) {
      if (!charts.some((each) => each.title === title)) { element.remove(); drawn.delete(title); }
    }
    charts.forEach(({ title, smooth, lines }, i) => {
      const known = drawn.get(title) ?? chart(title, smooth, look);
      drawn.set(title, known);
      if (place.children[i] !== known.element) place.insertBefore(known.element, place.children[i] ?? null);
      known.show(lines);
    });
  }
  new ResizeObserver(redraw).observe(place);
  return {
    show,
    elements: [
      make("div", { class: "bar" }, make("label", { class: "control" }, "Smoothing of losses", smoothing),
        make("label", { class: "control" }, log, "Logarithmic axis")),
      place,
      note("Point at a chart, or focus it and press the arrow keys, to read values. Press a name to hide its curve. The losses of generator and discriminator oppose each other, so they need not fall: level curves are a good sign."),
    ],
  };
}

/* Return the exponential moving average, corrected for its start at 0. */
function smoothed(values, keep) {
  let sum = 0, weight = 0;
  return values.map((value) => {
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  return size >= 1000 ? `${+(value / 1000).toPrecision(3)}k` : String(+value.toPrecision(3));
}

function ticks(low, high, count) {
  const rough = (0.75 * (high - low)) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found;
}

/* The index of the value in a sorted list that is nearest to a step. */
function nearest(list, step) {
  let low = 0, high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] <= step) low = middle; else high = middle;
  }
  return Math.abs(list[high] - step) < Math.abs(list[low] - step) ? high : low;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function chart(title, smooth, look) {
  const keys = make("div", { class: "keys" });
  const place = make("span", { class: "pale", "aria-live": "polite" });
  const plot = svg("svg", { tabindex: 0, role: "img" });
  const element = make("div", { class: "card chart" }, make("header", {}, make("h3", { class: "name", dir: "auto" }, title), place), plot, keys);
  const hidden = new Set(); // names
  let lines = [], steps = [], buttons = [], now = null, frame = null, cursor = null;

  function show(wanted) {
    const same = wanted.length === lines.length && wanted.every(({ label, colour }, i) => label === lines[i].label && colour === lines[i].colour);
    lines = wanted;
    steps = [...new Set(lines.flatMap((line) => line.steps))].sort((x, y) => x - y);
    if (!same) {
      plot.setAttribute("aria-label", `${title}: ${lines.map(({ label }) => label).join("; ")}`);
      buttons = lines.map((line) => make("button", { type: "button", title: line.name, "aria-pressed": String(!hidden.has(line.label)), onclick: () => press(line.label) },
        swatch(line.colour), named(line.label), " ", make("b")));
      keys.replaceChildren(...buttons);
    }
    draw();
  }
  function press(label) {
    if (!hidden.delete(label)) hidden.add(label);
    lines.forEach((line, i) => buttons[i].setAttribute("aria-pressed", String(!hidden.has(line.label))));
    draw();
  }

  function draw() {
    const width = Math.max(260, Math.round(element.clientWidth - 32)), height = 200;
    const shown = lines.filter(({ label }) => !hidden.has(label));
    const log = look.log && shown.every((line) => Math.min(...line.mean) > 0);
    const place = (value) => (log ? Math.log10(value) : value);
    const back = (value) => (log ? 10 ** value : value);
    const all = shown.flatMap((line) => line.mean).map(place);
    let low = all.length ? all.reduce((x, y) => Math.min(x, y)) : 0;
    let high = all.length ? all.reduce((x, y) => Math.max(x, y)) : 1;
    if (!log && low > 0 && low < 0.6 * high) low = 0;
    if (high - low <= Math.abs(high) * 1e-9) [low, high] = [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
    high += (high - low) * 0.05;
    const [first, last] = [steps[0], steps.at(-1)];
    const left = 46, right = 8, top = 8, bottom = 22;
    const x = (step) => left + (last === first ? 0.5 : (step - first) / (last - first)) * (width - left - right);
    const y = (value) => Math.max(top - 4, Math.min(height - bottom + 4, height - bottom - ((place(value) - low) / (high - low)) * (height - top - bottom)));
    const points = (line, values) => line.steps.map((step, k) => `${k ? "L" : "M"}${x(step).toFixed(1)} ${y(values[k]).toFixed(1)}`).join("");
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.replaceChildren();
    for (const value of ticks(low, high, 4)) {
      const level = height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
      plot.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: level, y2: level }),
        svg("text", { x: left - 6, y: level + 4, "text-anchor": "end" }, short(back(value))));
    }
    const marks = last > first ? ticks(first, last, Math.max(4, Math.floor(width / 110))) : [first];
    for (const step of marks) plot.append(svg("text", { x: x(step), y: height - 5, "text-anchor": step > first + 0.93 * (last - first) ? "end" : "middle" }, short(step)));
    for (const line of shown) {
      if (line.low.length) {
        const way = `${points(line, line.high)}${[...line.steps.keys()].reverse().map((k) => `L${x(line.steps[k]).toFixed(1)} ${y(Math.max(line.low[k], log ? 1e-12 : -Infinity)).toFixed(1)}`).join("")}Z`;
        const spread = svg("path", { class: "spread", d: way });
        spread.style.fill = line.colour;
        plot.append(spread);
      }
      const faint = smooth && look.smoothing > 0 ? [["raw", line.mean]] : [];
      for (const [kind, values] of [...faint, ["line", faint.length ? smoothed(line.mean, look.smoothing) : line.mean]]) {
        const path = svg("path", { class: kind, d: points(line, values) });
        path.style.stroke = line.colour;
        plot.append(path);
      }
      if (line.steps.length < 3) line.steps.forEach((step, k) => {
        const dot = svg("circle", { cx: x(step), cy: y(line.mean[k]), r: 3.5 });
        dot.style.fill = line.colour;
        plot.append(dot);
      });
    }
    cursor = svg("line", { class: "now", y1: top, y2: height - bottom, visibility: "hidden" });
    plot.append(cursor);
    frame = { x, width };
    point(now);
  }

  /* Read the values of a step; without one, the last of each line. */
  function point(step) {
    now = step;
    place.textContent = `step ${whole(step ?? steps.at(-1))}`;
    lines.forEach((line, i) => {
      const k = step === null ? line.steps.length - 1 : nearest(line.steps, step);
      const beyond = step !== null && step > line.steps.at(-1) + line.steps.at(-1) - (line.steps.at(-2) ?? 0);
      buttons[i].lastChild.textContent = beyond ? "–" : String(+line.mean[k].toPrecision(4));
    });
    cursor.setAttribute("visibility", step === null ? "hidden" : "visible");
    cursor.setAttribute("x1", frame.x(step ?? 0));
    cursor.setAttribute("x2", frame.x(step ?? 0));
  }

  function under(event) {
    const box = plot.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * frame.width - 46) / (frame.width - 54);
    point(steps[nearest(steps, steps[0] + share * (steps.at(-1) - steps[0]))]);
  }
  plot.addEventListener("pointermove", under);
  plot.addEventListener("pointerdown", under);
  plot.addEventListener("pointerleave", () => point(null));
  plot.addEventListener("blur", () => point(null));
  plot.addEventListener("keydown", (event) => {
    const end = steps.length - 1, from = now === null ? end : nearest(steps, now), page = Math.max(1, Math.round(end / 10));
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, PageDown: from + page, PageUp: from - page, Home: 0, End: end }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(steps[Math.max(0, Math.min(end, to))]);
  });
  return { element, show, draw };
}
