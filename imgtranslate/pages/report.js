
const ways = { ab: `${data.names.a} → ${data.names.b}`, ba: `${data.names.b} → ${data.names.a}` };
const cycles = { ab: `${ways.ab} → ${data.names.a}`, ba: `${ways.ba} → ${data.names.b}` };
const fraction = (value) => value.toFixed(4);
/* `better`: 1 where a higher number is better, -1 where a lower one is, 0 where neither is. */
const measures = [
  { key: "error", label: data.paired ? "Error" : "Cycle error", better: -1, text: fraction },
  { key: "untouched", label: "Input error", better: 0, text: fraction },
  { key: "psnr", label: "PSNR", better: 1, text: (v) => `${v.toFixed(1)} dB` },
  { key: "ssim", label: "SSIM", better: 1, text: (v) => v.toFixed(3) },
  { key: "change", label: "Change", better: 0, text: fraction },
  { key: "diversity", label: "Diversity", better: 0, text: fraction },
];
const isNumber = (value) => typeof value === "number";
const textOf = (measure, row) => (isNumber(row[measure.key]) ? measure.text(row[measure.key]) : "–");
const usedIn = (rows) => measures.filter(({ key }) => rows.some((row) => isNumber(row[key])));
const body = (id) => at(id).querySelector(".body");
const note = (...content) => make("p", { class: "note" }, ...content);
const titlesOf = ({ direction: [from, to] }) => [
  `Real ${data.names[from]}`, `Fake ${data.names[to]}`, data.paired ? `True ${data.names[to]}` : `Recovered ${data.names[from]}`,
];

function mean(rows, key) {
  const values = rows.map((row) => row[key]).filter(isNumber);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/* A group of buttons of which one is pressed. */
function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    make("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => press(value) }, named(text)));
  function press(value) {
    options.forEach(([each], i) => buttons[i].setAttribute("aria-pressed", String(each === value)));
    choose(value);
  }
  return make("div", { class: "choice", role: "group", "aria-label": label }, ...buttons);
}

/* A command, and a button that copies it. */
function copyable(command) {
  const line = make("pre", {}, command);
  const copy = make("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(command); copy.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(line); copy.textContent = "Selected"; }
  } }, "Copy");
  return make("div", { class: "copy" }, line, copy);
}

/* The commands that add what a part of the page lacks. */
function showMissing(part) {
  const lacking = data.missing.filter((one) => one.part === part);
  for (const { text, command } of lacking) body(part).append(make("div", { class: "missing" }, make("p", {}, named(text)), command && copyable(command)));
  return lacking.length > 0;
}

/* A part without content is left out, unless a command can add it. */
function leaveOut(part) {
  if (!showMissing(part)) at(part).remove();
}

function showHead() {
  const { step, total } = data.progress;
  const progress = total && step < total ? `step ${whole(step)} of ${whole(total)}` : `step ${whole(step)}`;
  const rows = measuredRows().filter((row) => !row.fault);
  const tiles = [];
  const add = (value, label, below = null) => tiles.push(make("div", { class: "tile" }, make("b", {}, value), named(label), below && named(below)));
  for (const way of ["ab", "ba"]) {
    const those = rows.filter((row) => row.direction === way);
    const tell = (key, label, below) => {
      const value = mean(those, key);
      if (value !== null) add(measures.find((each) => each.key === key).text(value), label, below);
    };
    if (data.paired) {
      const untouched = mean(those, "untouched");
      tell("error", "error", untouched === null ? null : `untouched input ${fraction(untouched)}`);
      tell("psnr", "PSNR");
      tell("ssim", "SSIM");
      tell("diversity", "diversity");
    } else {
      tell("error", `cycle error, ${cycles[way]}`);
      tell("change", `change, ${ways[way]}`);
    }
  }
  if (data.validation) {
    const { first, best } = data.validation;
    add(best.value.toPrecision(3), `best validation, step ${whole(best.step)}`,
      best.step === first.step ? null : `first ${first.value.toPrecision(3)}, step ${whole(first.step)}`);
  }
  at("head").append(
    make("h1", { class: "name", dir: "auto" }, `${data.names.a} ${data.paired ? "→" : "⇄"} ${data.names.b}`),
    make("p", { class: "pale name" }, `${data.method}, ${data.size} px, ${progress}`),
    make("div", { class: "tiles" }, ...tiles),
  );
  if (!rows.length) return;
  at("head").append(note(
    `Means over ${counted(rows.length, "held-out picture")}. Errors are mean absolute differences, as fractions of the full range. `
    + (data.paired ? "Error: translation against truth."
      : "Cycle error: recovered against real picture. A low cycle error with a low change only means that the generators change nothing."),
    rows.some((row) => isNumber(row.diversity)) ? " Diversity: mean difference of two samples of one input. The other numbers are of seed 0." : ""));
}

/* A cycle check measured more pictures than the page shows, but perhaps in one direction only. */
const measuredRows = () => {
  const checked = new Set(data.checked.map((row) => row.direction));
  return [...data.checked, ...data.pictures.filter((row) => !checked.has(row.direction))];
};

function showVerdict() {
  if (!data.verdicts.length) return leaveOut("verdict");
  const card = (one) => make("div", { class: "card" },
    make("h3", {}, named((data.paired ? ways : cycles)[one.direction])),
    make("p", { class: "badges" }, ...one.verdicts.map((text) => make("b", { class: `badge ${one.good ? "good" : "bad"}` }, text))),
    make("ul", { class: "reasons" }, ...one.reasons.map(({ text, bad }) => make("li", { class: bad ? "bad" : null }, named(text)))),
    note([isNumber(one.count) && counted(one.count, data.paired ? "held-out pair" : "held-out picture"), isNumber(one.step) && `models of step ${whole(one.step)}`].filter(Boolean).join(", ")));
  body("verdict").append(make("div", { class: "sides" }, ...data.verdicts.map(card)),
    note("A verdict names faults that can be measured. It does not say whether translations look good: look at the pictures below."));
  showMissing("verdict");
}

function showWarnings() {
  if (!data.warnings.length) return at("warnings").remove();
  at("warnings").querySelector("ul").append(...data.warnings.map((text) => make("li", {}, named(text))));
}

/* Two pictures, one over the other up to an edge that moves. */
function slide() {
  const under = picture("", ""), over = picture("", "");
  over.classList.add("over");
  const edge = make("div", { class: "edge" });
  const tags = [make("span", { class: "tag left name" }), make("span", { class: "tag right name" })];
  const range = make("input", { type: "range", min: 0, max: 100, value: 50, oninput: move });
  function move() {
    over.style.clipPath = `inset(0 0 0 ${range.value}%)`;
    edge.style.left = `${range.value}%`;
  }
  move();
  const element = make("div", { class: "slide" }, under, over, edge, ...tags, range);
  function show([first, second], titles) {
    under.src = first; over.src = second;
    under.alt = titles[0]; over.alt = titles[1];
    tags[0].textContent = titles[0]; tags[1].textContent = titles[1];
    range.setAttribute("aria-label", `Edge between ${titles[0]} and ${titles[1]}`);
  }
  return { element, show };
}

const viewer = { pick: () => {}, rows: data.pictures.filter((row) => row.pictures) };
const coded = viewer.rows.some((row) => row.samples.length);

function panel(source, title) {
  return make("figure", {}, picture(source, title), make("figcaption", { class: "name" }, title));
}

function showPictures() {
  const { rows } = viewer;
  if (!rows.length) return leaveOut("pictures");
  let current = rows[0], compared = [0, 1], seed = 0;
  const both = slide();
  const panels = make("div", { class: "panels" });
  const samples = make("div", { class: "samples", role: "group", "aria-label": "Samples by seed" });
  const numbers = make("div");
  const title = make("h3", { class: "name", dir: "auto" });
  const film = make("div", { class: "film", role: "group", "aria-label": "Pictures", onkeydown: turn });
  const directions = [...new Set(rows.map((row) => row.direction))];
  const way = make("div");

  function draw() {
    const [real, fake, third] = current.pictures;
    const fakes = [fake, ...current.samples];
    seed = Math.min(seed, fakes.length - 1);
    const shown = [real, fakes[seed], third];
    const titles = titlesOf(current);
    if (coded) titles[1] += `, seed ${seed}`;
    both.show(compared.map((i) => shown[i]), compared.map((i) => titles[i]));
    panels.replaceChildren(...shown.map((source, i) => panel(source, titles[i])));
    samples.replaceChildren(...(coded ? fakes.map((source, i) => make("button", { type: "button", "aria-pressed": String(i === seed), onclick: () => { seed = i; draw(); samples.children[i].focus(); } },
      picture(source, `Seed ${i}`), `Seed ${i}`)) : []));
    numbers.replaceChildren(numbersOf(current));
    title.textContent = current.name;
    for (const button of film.children) button.setAttribute("aria-pressed", String(button.row === current));
  }
  function list(direction) {
    const those = rows.filter((row) => row.direction === direction);
    film.replaceChildren(...those.map((row) => {
      const button = make("button", { type: "button", title: row.name, onclick: () => { current = row; draw(); } }, picture(row.pictures[0], row.name));
      button.row = row;
      return button;
    }));
    if (!those.includes(current)) [current] = those;
    draw();
  }
  function turn(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const buttons = [...film.children];
    const next = buttons[buttons.indexOf(document.activeElement) + by];
    if (!by || !next) return;
    event.preventDefault();
    next.focus();
    next.click();
  }
  viewer.pick = (row) => {
    current = row;
    way.replaceChildren(...chooser());
    list(row.direction);
    at("pictures").scrollIntoView({ block: "start" });
  };
  const chooser = () => (directions.length > 1
    ? [choice("Direction", directions.map((each) => [each, ways[each]]), current.direction, list)] : []);
  way.append(...chooser());
  const pairs = data.paired ? [["Real | Fake", [0, 1]], ["Real | Truth", [0, 2]], ["Fake | Truth", [1, 2]]]
    : [["Real | Fake", [0, 1]], ["Real | Recovered", [0, 2]]];
  const compare = choice("Compare", pairs.map(([text], i) => [i, text]), 0, (i) => { [, compared] = pairs[i]; draw(); });
  body("pictures").append(
    make("div", { class: "bar" }, ...(directions.length > 1 ? [way] : []), compare),
    make("div", { class: "card" },
      make("div", { class: "viewer" }, both.element, make("div", {}, title, panels, samples, numbers)), film),
  );
  if (coded) body("pictures").append(note("Each seed draws another latent code, and each code gives another translation of the input."));
  showMissing("pictures");
  list(current.direction);
}

function numbersOf(row) {
  const items = usedIn(viewer.rows).map((measure) =>
    make("div", {}, make("dt", {}, measure.label), make("dd", {}, textOf(measure, row))));
  return make("dl", { class: "numbers" }, ...items);
}

function showExtremes() {
  const usable = usedIn(viewer.rows).filter(({ key }) => key !== "untouched");
  if (viewer.rows.length < 2 || !usable.length) return leaveOut("extremes");
  const ends = make("div", { class: "ends" });
  function draw(key) {
    const measure = measures.find((each) => each.key === key);
    const sign = measure.better || 1;
    const sorted = viewer.rows.filter((row) => isNumber(row[key])).sort((x, y) => sign * (y[key] - x[key]));
    const count = Math.min(3, Math.floor(sorted.length / 2));
    const titles = measure.better ? ["Best", "Worst"] : [`Highest ${measure.label.toLowerCase()}`, `Lowest ${measure.label.toLowerCase()}`];
    const end = (title, rows) => make("div", {}, make("h3", {}, title), ...rows.map((row) => triple(row, measure)));
    ends.replaceChildren(end(titles[0], sorted.slice(0, count)), end(titles[1], count ? sorted.slice(-count).reverse() : []));
  }
  body("extremes").append(
    make("div", { class: "bar" }, choice("Sort by", usable.map(({ key, label }) => [key, label]), usable[0].key, draw)), ends);
  draw(usable[0].key);
}

function triple(row, measure) {
  const titles = titlesOf(row);
  return make("figure", { class: "triple" },
    make("div", { class: "panels" }, ...row.pictures.map((source, i) => picture(source, titles[i]))),
    make("figcaption", {}, named(`${row.name}, ${ways[row.direction]}`), make("b", {}, textOf(measure, row))));
}

function showTime() {
  const { samples } = data;
  if (!samples.length) return leaveOut("time");
  const last = samples.length - 1;
  const image = make("img", { alt: "" });
  const strip = make("div", { class: "strip" }, image);
  const step = make("output", {});
  const range = make("input", { type: "range", min: 0, max: last, value: last, "aria-label": "Step", oninput: draw });
  const play = make("button", { type: "button", onclick: toggle, "aria-label": "Play" }, "▶");
  const enlarge = make("button", { type: "button", class: "enlarge", "aria-pressed": "false", onclick: () => {
    enlarge.setAttribute("aria-pressed", String(strip.classList.toggle("large")));
  } }, "Enlarge");
  let timer = 0;
  function draw() {
    const now = samples[range.value];
    image.src = now.picture;
    image.alt = `Held-out pictures at step ${now.step}`;
    step.textContent = `step ${whole(now.step)}`;
    range.setAttribute("aria-valuetext", step.textContent);
  }
  function toggle() {
    if (timer) return stop();
    if (Number(range.value) === last) range.value = 0;
    draw();
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    timer = setInterval(() => {
      if (Number(range.value) === last) return stop();
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
  draw();
  body("time").append(strip, make("div", { class: "turn" }, ...(last > 0 ? [play, range] : []), step, enlarge));
  showMissing("time");
}

/* Curves */

/* Losses of single steps are noisy and may be smoothed. A schedule and a measurement are drawn as they are. */
const groups = [
  { title: "Validation", pattern: /^validation/, smooth: false },
  { title: "Spread, brightness, diversity", pattern: /^(spread|brightness|diversity)/, smooth: false },
  { title: "Learning rate", pattern: /^lr$/, smooth: false },
  { title: "Discriminators", pattern: /^discriminator/, smooth: true },
  { title: "Generators", pattern: /^gan/, smooth: true },
  { title: "Cycle loss", pattern: /^cycle/, smooth: true },
  { title: "Identity loss", pattern: /^identity/, smooth: true },
  { title: "Other losses", pattern: /./, smooth: true },
];
const order = [4, 3, 5, 6, 7, 0, 1, 2].map((i) => groups[i].title);
const look = { smoothing: 0.6, log: false };

const words = { gan: "adversarial", lr: "learning rate", l1: "L1", kl: "KL", validation_l1: "L1", validation_ssim: "SSIM", validation_distance: "distance", validation_cycle: "cycle error" };
const paths = { lr: "cLR-GAN", vae: "cVAE-GAN" };

/* The name of a logged number, with the names of the domains: gan_ab becomes "adversarial, horses → zebras". */
function spelled(name) {
  const [, term, place] = /^(.+)_(ab|ba|a|b|lr|vae)$/.exec(name) ?? [null, name, null];
  const where = place && (ways[place] ?? data.names[place] ?? paths[place]);
  return [words[term] ?? term.replaceAll("_", " "), where].filter(Boolean).join(", ");
}

function showCurves() {
  if (!data.curves.length) return leaveOut("curves");
  const left = [...data.curves];
  const charts = [];
  for (const { title, pattern, smooth } of groups) {
    const mine = left.filter((curve) => pattern.test(curve.name));
    for (const curve of mine) left.splice(left.indexOf(curve), 1);
    for (let i = 0; i < mine.length; i += 6) charts.push(chart(title, mine.slice(i, i + 6), smooth));
  }
  charts.sort((x, y) => order.indexOf(x.title) - order.indexOf(y.title));
  const redraw = () => charts.forEach((each) => each.draw());
  const smoothing = make("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: look.smoothing,
    oninput: (event) => { look.smoothing = Number(event.target.value); redraw(); } });
  const log = make("input", { type: "checkbox", onchange: (event) => { look.log = event.target.checked; redraw(); } });
  body("curves").append(
    make("div", { class: "bar" }, make("label", { class: "control" }, "Smoothing of losses", smoothing),
      make("label", { class: "control" }, log, "Logarithmic axis")),
    make("div", { class: "charts" }, ...charts.map((each) => each.element)),
    note("Point at a chart, or focus it and press the arrow keys, to read values. Press a name to hide its curve. The losses of generator and discriminator oppose each other, so they need not fall: level curves are a good sign."),
  );
  showMissing("curves");
  const observer = new ResizeObserver(redraw);
  observer.observe(body("curves"));
  redraw();
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
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function chart(title, curves, smooth) {
  const colour = (i) => `var(--c${i % 6})`;
  const on = curves.map(() => true);
  const keys = make("div", { class: "keys" });
  const place = make("span", { class: "pale", "aria-live": "polite" });
  const plot = svg("svg", { tabindex: 0, role: "img", "aria-label": `${title}: ${curves.map((c) => spelled(c.name)).join("; ")}` });
  const element = make("div", { class: "card chart" }, make("header", {}, make("h3", {}, title), place), plot, keys);
  const steps = [...new Set(curves.flatMap((curve) => curve.steps))].sort((x, y) => x - y);
  const buttons = curves.map((curve, i) => {
    const swatch = make("i");
    swatch.style.background = colour(i);
    return make("button", { type: "button", title: curve.name, "aria-pressed": "true", onclick: () => { on[i] = !on[i]; buttons[i].setAttribute("aria-pressed", String(on[i])); draw(); } },
      swatch, named(spelled(curve.name)), " ", make("b"));
  });
  keys.append(...buttons);
  let now = null, frame = null, cursor = null;

  function draw() {
    const width = Math.max(260, Math.round(element.clientWidth - 32)), height = 200;
    const shown = curves.filter((_, i) => on[i]);
    const log = look.log && shown.every((curve) => Math.min(...curve.mean) > 0);
    const place = (value) => (log ? Math.log10(value) : value);
    const back = (value) => (log ? 10 ** value : value);
    const all = shown.flatMap((curve) => curve.mean).map(place);
    let low = all.length ? all.reduce((x, y) => Math.min(x, y)) : 0;
    let high = all.length ? all.reduce((x, y) => Math.max(x, y)) : 1;
    if (!log && low > 0 && low < 0.6 * high) low = 0;
    if (high - low <= Math.abs(high) * 1e-9) [low, high] = [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
    high += (high - low) * 0.05;
    const [first, last] = [steps[0], steps.at(-1)];
    const left = 46, right = 8, top = 8, bottom = 22;
    const x = (step) => left + (last === first ? 0.5 : (step - first) / (last - first)) * (width - left - right);
    const y = (value) => Math.max(top - 4, Math.min(height - bottom + 4, height - bottom - ((place(value) - low) / (high - low)) * (height - top - bottom)));
    const line = (curve, values) => curve.steps.map((step, k) => `${k ? "L" : "M"}${x(step).toFixed(1)} ${y(values[k]).toFixed(1)}`).join("");
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.replaceChildren();
    for (const value of ticks(low, high, 4)) {
      const level = height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
      plot.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: level, y2: level }),
        svg("text", { x: left - 6, y: level + 4, "text-anchor": "end" }, short(back(value))));
    }
    const marks = last > first ? ticks(first, last, Math.max(4, Math.floor(width / 110))) : [first];
    for (const step of marks) plot.append(svg("text", { x: x(step), y: height - 5, "text-anchor": step > first + 0.93 * (last - first) ? "end" : "middle" }, short(step)));
    curves.forEach((curve, i) => {
      if (!on[i]) return;
      if (curve.low.length) {
        const way = `${line(curve, curve.high)}${[...curve.steps.keys()].reverse().map((k) => `L${x(curve.steps[k]).toFixed(1)} ${y(Math.max(curve.low[k], log ? 1e-12 : -Infinity)).toFixed(1)}`).join("")}Z`;
        const spread = svg("path", { class: "spread", d: way });
        spread.style.fill = colour(i);
        plot.append(spread);
      }
      const faint = smooth && look.smoothing > 0 ? [["raw", curve.mean]] : [];
      for (const [kind, values] of [...faint, ["line", faint.length ? smoothed(curve.mean, look.smoothing) : curve.mean]]) {
        const path = svg("path", { class: kind, d: line(curve, values) });
        path.style.stroke = colour(i);
        plot.append(path);
      }
      if (curve.steps.length < 3) curve.steps.forEach((step, k) => {
        const dot = svg("circle", { cx: x(step), cy: y(curve.mean[k]), r: 3.5 });
        dot.style.fill = colour(i);
        plot.append(dot);
      });
    });
    cursor = svg("line", { class: "now", y1: top, y2: height - bottom, visibility: "hidden" });
    plot.append(cursor);
    frame = { x, width };
    point(now);
  }

  function nearest(list, step) {
    let low = 0, high = list.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (list[middle] <= step) low = middle; else high = middle;
    }
    return Math.abs(list[high] - step) < Math.abs(list[low] - step) ? high : low;
  }

  function point(k) {
    now = k;
    const step = k === null ? steps.at(-1) : steps[k];
    place.textContent = `step ${whole(step)}`;
    curves.forEach((curve, i) => {
      const value = curve.mean[nearest(curve.steps, step)];
      buttons[i].lastChild.textContent = String(+value.toPrecision(4));
    });
    cursor.setAttribute("visibility", k === null ? "hidden" : "visible");
    cursor.setAttribute("x1", frame.x(step));
    cursor.setAttribute("x2", frame.x(step));
  }

  function under(event) {
    const box = plot.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * frame.width - 46) / (frame.width - 54);
    point(nearest(steps, steps[0] + share * (steps.at(-1) - steps[0])));
  }
  plot.addEventListener("pointermove", under);
  plot.addEventListener("pointerdown", under);
  plot.addEventListener("pointerleave", () => point(null));
  plot.addEventListener("blur", () => point(null));
  plot.addEventListener("keydown", (event) => {
    const end = steps.length - 1, from = now ?? end, page = Math.max(1, Math.round(end / 10));
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, PageDown: from + page, PageUp: from - page, Home: 0, End: end }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(Math.max(0, Math.min(end, to)));
  });
  return { title, element, draw };
}

/* Tables */

const FIRST_ROWS = 25;

function showTable() {
  const rows = measuredRows();
  if (!rows.length) return leaveOut("table");
  const both = new Set(rows.map((row) => row.direction)).size > 1;
  const used = usedIn(rows);
  const columns = [{ key: "name", label: "Picture" }, ...(both ? [{ key: "direction", label: "Direction" }] : []), ...used];
  const seen = new Map(viewer.rows.map((row) => [`${row.direction}/${row.name}`, row]));
  let order = { key: used[0]?.key ?? "name", down: true }, all = false;
  const heads = columns.map((column) => make("th", { scope: "col", class: column.text ? "figure" : column.key },
    make("button", { type: "button", onclick: () => { order = { key: column.key, down: order.key === column.key ? !order.down : Boolean(column.text) }; draw(); } }, column.label)));
  const lines = make("tbody");
  const more = make("button", { type: "button", class: "more", onclick: () => { all = true; draw(); } });

  function compare(x, y) {
    const [one, two] = [x[order.key], y[order.key]];
    if ((one ?? null) === null || (two ?? null) === null) return ((one ?? null) === null) - ((two ?? null) === null);
    const sign = isNumber(one) ? one - two : String(one).localeCompare(String(two));
    return order.down ? -sign : sign;
  }
  function line(row) {
    const known = seen.get(`${row.direction}/${row.name}`);
    const name = known
      ? make("button", { type: "button", class: "name", onclick: () => viewer.pick(known) }, named(row.name)) : named(row.name);
    const cells = [make("td", { class: both ? null : "alone" }, name)];
    if (both) cells.push(make("td", { class: "direction name" }, ways[row.direction]));
    if (row.fault) cells.push(make("td", { class: "fault name", colspan: Math.max(1, used.length) }, row.fault));
    else cells.push(...used.map((measure) => make("td", { class: "figure" }, textOf(measure, row))));
    return make("tr", {}, ...cells);
  }
  function draw() {
    columns.forEach(({ key }, i) => heads[i].setAttribute("aria-sort", key === order.key ? (order.down ? "descending" : "ascending") : "none"));
    const sorted = [...rows].sort(compare);
    lines.replaceChildren(...sorted.slice(0, all ? sorted.length : FIRST_ROWS).map(line));
    more.hidden = all || sorted.length <= FIRST_ROWS;
    more.textContent = `Show all ${whole(sorted.length)}`;
  }
  draw();
  body("table").append(make("div", { class: "scroll" }, make("table", { class: `stacked columns-${used.length}` }, make("thead", {}, make("tr", {}, ...heads)), lines)), more);
  if (used.some(({ key }) => key === "untouched")) body("table").append(note("Input error: the untouched input against the truth. A translation should have a smaller error."));
}

function grid(heads, rows) {
  const head = heads.length ? [make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))))] : [];
  return make("div", { class: "scroll" }, make("table", { class: `stacked columns-${(rows[0] ?? heads).length - 1}` }, ...head, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, named(text))))))));
}

function showChecks() {
  if (!data.checks.length) return leaveOut("checks");
  const leftOut = (notes) => (notes.length
    ? make("details", {}, make("summary", {}, `${counted(notes.length, "measure")} left out`), make("ul", {}, ...notes.map((text) => make("li", {}, named(text))))) : null);
  body("checks").append(...data.checks.map((check) => make("div", { class: "check" }, make("h3", {}, named(check.title)),
    grid(check.heads, check.rows), leftOut(check.notes))));
  showMissing("checks");
}

function showData() {
  const side = (one) => {
    const facts = [
      ["Folder", one.folder], ["Pictures", one.pictures === null ? "not recorded" : whole(one.pictures)],
      ["Held out", whole(one.held_out)], ["Left out", one.left_out ? whole(one.left_out) : null],
      ["Channels", String(one.channels)], ["Fingerprint", one.fingerprint || null],
    ].filter(([, value]) => value !== null);
    return make("div", { class: "card" }, make("h3", {}, named(`${one.letter}: ${one.name}`)),
      make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, named(value))])));
  };
  body("data-facts").append(make("div", { class: "sides" }, ...data.data.map(side)));
  if (data.facts.length) body("data-facts").append(...data.facts.map((text) => note(named(text))));
}

function showSettings() {
  const differing = data.settings.filter((row) => row.differs), others = data.settings.filter((row) => !row.differs);
  const heads = ["Setting", "Value", "Default"];
  const cells = (rows) => rows.map((row) => [row.name, row.value, row.usual || "–"]);
  body("settings").append(
    differing.length ? grid(heads, cells(differing)) : make("p", {}, "All settings have their defaults."),
    make("details", {}, make("summary", {}, `${counted(others.length, "setting")} with the default value`), grid(heads.slice(0, 2), others.map((row) => [row.name, row.value]))),
  );
}

function showAgain() {
  const { command, config } = data.recipe;
  body("again").append(
    copyable(command),
    note("On a CPU the same pictures, settings and versions give the same weights, bit for bit. Initial weights from --init are not recorded."),
    make("details", {}, make("summary", {}, "config.toml"), make("pre", { class: "long" }, config)),
    make("details", { open: true }, make("summary", {}, "Versions"), grid([], data.versions)),
  );
  showMissing("again");
}

function showNav() {
  const titles = { verdict: "Verdict", pictures: "Pictures", extremes: "Best and worst", time: "Training", curves: "Curves", table: "Table", checks: "Checks", "data-facts": "Data", settings: "Settings", again: "Reproduce" };
  const there = Object.entries(titles).filter(([id]) => at(id));
  at("nav").append(...there.map(([id, title]) => make("a", { href: `#${id}` }, title)));
  at("foot").append(make("p", { class: "name" }, `Written ${data.made} from `, named(data.run), ". This page needs no network and sends nothing."));
}

addEventListener("beforeprint", () => document.querySelectorAll("#checks details, #settings details, #again details[open]").forEach((each) => { each.open = true; }));
for (const show of [showHead, showWarnings, showVerdict, showPictures, showExtremes, showTime, showCurves, showTable, showChecks, showData, showSettings, showAgain, showNav]) show();
document.documentElement.dataset.ready = "yes";
