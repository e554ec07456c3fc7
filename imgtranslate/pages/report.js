
const ways = { ab: `${data.names.a} → ${data.names.b}`, ba: `${data.names.b} → ${data.names.a}` };
const measures = [
  { key: "error", label: data.paired ? "Error" : "Cycle error", better: -1, text: (v) => v.toFixed(4) },
  { key: "psnr", label: "PSNR", better: 1, text: (v) => `${v.toFixed(1)} dB` },
  { key: "ssim", label: "SSIM", better: 1, text: (v) => v.toFixed(3) },
  { key: "change", label: "Change", better: 0, text: (v) => v.toFixed(4) },
];
const isNumber = (value) => typeof value === "number";
const textOf = (measure, row) => (isNumber(row[measure.key]) ? measure.text(row[measure.key]) : "–");
const body = (id) => at(id).querySelector(".body");
const named = (text) => make("span", { class: "name", dir: "auto" }, text);
const third = data.paired ? "Truth" : "Recovered";
const titlesOf = (row) => {
  const [from, to] = row.direction === "ab" ? [data.names.a, data.names.b] : [data.names.b, data.names.a];
  return [`Real ${from}`, `Fake ${to}`, data.paired ? `True ${to}` : `Recovered ${from}`];
};

function mean(rows, key) {
  const values = rows.map((row) => row[key]).filter(isNumber);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/* Buttons of which one is pressed. */
function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    make("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => press(value) }, named(text)));
  function press(value) {
    options.forEach(([each], i) => buttons[i].setAttribute("aria-pressed", String(each === value)));
    choose(value);
  }
  return make("div", { class: "choice", role: "group", "aria-label": label }, ...buttons);
}

function showHead() {
  const { step, total } = data.progress;
  const made = total && step < total ? `step ${whole(step)} of ${whole(total)}` : `step ${whole(step)}`;
  const sign = data.paired ? "→" : "⇄";
  const rows = measuredRows();
  const tiles = [];
  const add = (value, text) => tiles.push(make("div", { class: "tile" }, make("b", {}, value), make("span", { class: "name" }, text)));
  for (const way of ["ab", "ba"]) {
    const those = rows.filter((row) => row.direction === way && !row.fault);
    if (!those.length) continue;
    for (const measure of measures.filter(({ key }) => key !== "ssim" || data.paired)) {
      const value = mean(those, measure.key);
      if (value === null || (measure.key === "psnr" && !data.paired)) continue;
      add(measure.text(value), `${measure.label}, ${ways[way]}`);
    }
  }
  const last = data.curves.find((curve) => curve.name === "validation");
  if (last) add(last.mean.at(-1).toPrecision(3), `validation at step ${whole(last.steps.at(-1))}`);
  at("head").append(
    make("h1", { class: "name", dir: "auto" }, `${data.names.a} ${sign} ${data.names.b}`),
    make("p", { class: "pale name" }, `${data.method}, ${data.size} px, ${made}`),
    make("div", { class: "tiles" }, ...tiles),
  );
  if (tiles.length) at("head").append(make("p", { class: "note" },
    `Means over ${whole(rows.filter((row) => !row.fault).length)} held-out pictures, as shares of the full range. `
    + (data.paired ? "Error: fake against truth." : "Cycle error: recovered against real. A small one with a small change is no praise: nothing was done.")));
}

/* A check has seen more pictures than the page, but perhaps of one way only. */
const measuredRows = () => {
  const checked = new Set(data.checked.map((row) => row.direction));
  return [...data.checked, ...data.pictures.filter((row) => !checked.has(row.direction))];
};

function showVerdict() {
  if (!data.verdicts.length) return at("verdict").remove();
  const card = (one) => make("div", { class: "card" },
    make("h3", { class: "name" }, `${ways[one.direction]} and back`),
    make("p", { class: "badges" }, ...one.verdicts.map((text) => make("b", { class: `badge ${text === "healthy" ? "good" : "bad"}` }, text))),
    make("p", { class: "name" }, one.reason),
    make("p", { class: "note" }, [isNumber(one.count) && `${whole(one.count)} held-out pictures`, isNumber(one.step) && `models of step ${whole(one.step)}`].filter(Boolean).join(", ")));
  body("verdict").append(make("div", { class: "sides" }, ...data.verdicts.map(card)));
}

function showWarnings() {
  if (!data.warnings.length) return at("warnings").remove();
  at("warnings").querySelector("ul").append(...data.warnings.map((text) => make("li", { dir: "auto" }, text)));
}

/* Two pictures, one laid over the other up to an edge that moves. */
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
  function show(first, second, titles) {
    under.src = first; over.src = second;
    under.alt = titles[0]; over.alt = titles[1];
    tags[0].textContent = titles[0]; tags[1].textContent = titles[1];
    range.setAttribute("aria-label", `Edge between ${titles[0]} and ${titles[1]}`);
  }
  return { element, show };
}

const viewer = { pick: () => {}, rows: data.pictures.filter((row) => row.pictures) };

function panel(source, title) {
  return make("figure", {}, picture(source, title), make("figcaption", { class: "name" }, title));
}

function showPictures() {
  const { rows } = viewer;
  if (!rows.length) return at("pictures").remove();
  let current = rows[0], compared = 1;
  const both = slide();
  const panels = make("div", { class: "panels" });
  const title = make("h3", { class: "name", dir: "auto" });
  const film = make("div", { class: "film", role: "group", "aria-label": "Pictures", onkeydown: turn });
  const directions = [...new Set(rows.map((row) => row.direction))];
  const way = make("div");

  function draw() {
    const titles = titlesOf(current);
    both.show(current.pictures[0], current.pictures[compared], [titles[0], titles[compared]]);
    panels.replaceChildren(...current.pictures.map((source, i) => panel(source, titles[i])), numbersOf(current));
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
  const pair = choice("Compare", [[1, "Real | Fake"], [2, data.paired ? "Real | Truth" : "Real | Recovered"]], 1,
    (value) => { compared = value; draw(); });
  body("pictures").append(
    make("div", { class: "bar" }, way, pair),
    make("div", { class: "card" },
      make("div", { class: "viewer" }, both.element, make("div", {}, title, panels)), film),
  );
  list(current.direction);
}

function numbersOf(row) {
  const items = measures.map((measure) =>
    make("div", {}, make("dt", {}, measure.label), make("dd", {}, textOf(measure, row))));
  return make("dl", { class: "numbers" }, ...items);
}

function showExtremes() {
  const usable = measures.filter(({ key }) => viewer.rows.some((row) => isNumber(row[key])));
  if (viewer.rows.length < 2 || !usable.length) return at("extremes").remove();
  const ends = make("div", { class: "ends" });
  function draw(key) {
    const measure = measures.find((each) => each.key === key);
    const sign = measure.better || 1;
    const sorted = viewer.rows.filter((row) => isNumber(row[key])).sort((x, y) => sign * (y[key] - x[key]));
    const count = Math.min(3, Math.floor(sorted.length / 2));
    const titles = measure.better ? ["Best", "Worst"] : ["Changed most", "Changed least"];
    const end = (title, rows) => make("div", {}, make("h3", {}, title), ...rows.map((row) => triple(row, measure)));
    ends.replaceChildren(end(titles[0], sorted.slice(0, count)), end(titles[1], sorted.slice(-count).reverse()));
  }
  body("extremes").append(
    make("div", { class: "bar" }, choice("By", usable.map(({ key, label }) => [key, label]), usable[0].key, draw)), ends);
  draw(usable[0].key);
}

function triple(row, measure) {
  const titles = titlesOf(row);
  return make("figure", { class: "triple" },
    make("div", { class: "panels" }, ...row.pictures.map((source, i) => picture(source, titles[i]))),
    make("figcaption", {}, make("span", { class: "name" }, `${row.name}, ${ways[row.direction]}`),
      make("b", {}, textOf(measure, row))));
}

function showTime() {
  const { samples } = data;
  if (!samples.length) return at("time").remove();
  const last = samples.length - 1;
  const image = make("img", { alt: "" });
  const step = make("output", {});
  const range = make("input", { type: "range", min: 0, max: last, value: last, "aria-label": "Step", oninput: draw });
  const play = make("button", { type: "button", onclick: toggle, "aria-label": "Play" }, "▶");
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
  body("time").append(make("div", { class: "strip" }, image));
  if (last > 0) body("time").append(make("div", { class: "turn" }, play, range, step));
  else body("time").append(make("p", { class: "note" }, step));
}

/* Curves */

const groups = [
  ["Validation", /^valid/], ["Learning rate", /^lr$/], ["Discriminators", /^discriminator/],
  ["Adversarial, generators", /^gan/], ["Cycle", /^cycle/], ["Identity", /^identity/], ["Others", /./],
];
const look = { smoothing: 0.6, log: false };

function showCurves() {
  if (!data.curves.length) return at("curves").remove();
  const left = [...data.curves];
  const charts = [];
  for (const [title, pattern] of groups) {
    const mine = left.filter((curve) => pattern.test(curve.name));
    for (const curve of mine) left.splice(left.indexOf(curve), 1);
    for (let i = 0; i < mine.length; i += 6) charts.push(chart(title, mine.slice(i, i + 6)));
  }
  const order = ["Adversarial, generators", "Discriminators", "Cycle", "Identity", "Others", "Validation", "Learning rate"];
  charts.sort((x, y) => order.indexOf(x.title) - order.indexOf(y.title));
  const redraw = () => charts.forEach((each) => each.draw());
  const smoothing = make("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: look.smoothing,
    oninput: (event) => { look.smoothing = Number(event.target.value); redraw(); } });
  const log = make("input", { type: "checkbox", onchange: (event) => { look.log = event.target.checked; redraw(); } });
  body("curves").append(
    make("div", { class: "bar" }, make("label", { class: "control" }, "Smoothing", smoothing),
      make("label", { class: "control" }, log, "Logarithmic")),
    make("div", { class: "charts" }, ...charts.map((each) => each.element)),
    make("p", { class: "note" }, "Point at a chart, or focus it and press the arrow keys, to read values. Press a name to hide its curve. Losses of adversaries need not fall: two that stay level are a good sign."),
  );
  const observer = new ResizeObserver(redraw);
  observer.observe(body("curves"));
  redraw();
}

/* An exponential mean that is not drawn to 0 at the start. */
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

function chart(title, curves) {
  const colour = (i) => `var(--c${i % 6})`;
  const on = curves.map(() => true);
  const keys = make("div", { class: "keys" });
  const place = make("span", { class: "pale", "aria-live": "polite" });
  const plot = svg("svg", { tabindex: 0, role: "img", "aria-label": `${title}: ${curves.map((c) => c.name).join(", ")}` });
  const element = make("div", { class: "card chart" }, make("header", {}, make("h3", {}, title), place), plot, keys);
  const steps = [...new Set(curves.flatMap((curve) => curve.steps))].sort((x, y) => x - y);
  const buttons = curves.map((curve, i) => {
    const swatch = make("i");
    swatch.style.background = colour(i);
    return make("button", { type: "button", "aria-pressed": "true", onclick: () => { on[i] = !on[i]; buttons[i].setAttribute("aria-pressed", String(on[i])); draw(); } },
      swatch, named(curve.name), " ", make("b"));
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
    const lines = curves.map((curve) => smoothed(curve.mean, look.smoothing));
    curves.forEach((curve, i) => {
      if (!on[i]) return;
      if (curve.low.length) {
        const way = `${line(curve, curve.high)}${[...curve.steps.keys()].reverse().map((k) => `L${x(curve.steps[k]).toFixed(1)} ${y(Math.max(curve.low[k], log ? 1e-12 : -Infinity)).toFixed(1)}`).join("")}Z`;
        const spread = svg("path", { class: "spread", d: way });
        spread.style.fill = colour(i);
        plot.append(spread);
      }
      for (const [kind, values] of [["raw", curve.mean], ["smooth", lines[i]]]) {
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
  if (!rows.length) return at("table").remove();
  const both = new Set(rows.map((row) => row.direction)).size > 1;
  const used = measures.filter(({ key }) => rows.some((row) => isNumber(row[key])));
  const columns = [{ key: "name", label: "Picture" }, ...(both ? [{ key: "direction", label: "Way" }] : []), ...used];
  const seen = new Map(viewer.rows.map((row) => [`${row.direction}/${row.name}`, row]));
  let order = { key: used[0]?.key ?? "name", down: true }, all = false;
  const heads = columns.map((column) => make("th", { scope: "col", class: column.text ? "figure" : null },
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
      ? make("button", { type: "button", class: "name", dir: "auto", onclick: () => viewer.pick(known) }, row.name) : named(row.name);
    const cells = [make("td", {}, name)];
    if (both) cells.push(make("td", { class: "way name" }, ways[row.direction]));
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
  body("table").append(make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), lines)), more);
  if (data.sizes) body("table").append(make("p", { class: "note" }, data.sizes));
}

function grid(heads, rows) {
  const head = heads.length ? [make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))))] : [];
  return make("div", { class: "scroll" }, make("table", {}, ...head, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { class: "name", dir: "auto" }, text)))))));
}

function showChecks() {
  if (!data.checks.length) return at("checks").remove();
  const leftOut = (notes) => (notes.length
    ? make("details", {}, make("summary", {}, `${notes.length} left out`), make("ul", {}, ...notes.map((text) => make("li", { class: "name" }, text)))) : null);
  body("checks").append(...data.checks.map((check) => make("div", { class: "check" }, make("h3", { class: "name" }, check.title),
    grid(check.heads, check.rows), leftOut(check.notes))));
}

function showData() {
  const side = (one) => {
    const facts = [
      ["Folder", one.folder], ["Pictures", one.pictures === null ? "not recorded" : whole(one.pictures)],
      ["Held out", whole(one.held_out)], ["Left out", one.left_out ? whole(one.left_out) : null],
      ["Channels", String(one.channels)], ["Fingerprint", one.fingerprint || null],
    ].filter(([, value]) => value !== null);
    return make("div", { class: "card" }, make("h3", { class: "name" }, `${one.letter}: ${one.name}`),
      make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
  };
  body("data-facts").append(make("div", { class: "sides" }, ...data.data.map(side)));
  if (data.facts.length) body("data-facts").append(...data.facts.map((text) => make("p", { class: "note name" }, text)));
}

function showSettings() {
  const differing = data.settings.filter((row) => row.differs), others = data.settings.filter((row) => !row.differs);
  const heads = ["Setting", "Here", "Default"];
  const cells = (rows) => rows.map((row) => [row.name, row.value, row.usual || "–"]);
  body("settings").append(
    differing.length ? grid(heads, cells(differing)) : make("p", {}, "All as the method's defaults."),
    make("details", {}, make("summary", {}, `${others.length} more, as their defaults`), grid(heads.slice(0, 2), others.map((row) => [row.name, row.value]))),
  );
}

function showAgain() {
  const { command, config } = data.recipe;
  const copy = make("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(command); copy.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(line); copy.textContent = "Selected"; }
  } }, "Copy");
  const line = make("pre", {}, command);
  body("again").append(
    make("div", { class: "copy" }, line, copy),
    make("p", { class: "note" }, "The same pictures, settings and versions on a CPU give the same weights, bit for bit. Weights given by --init are not recorded."),
    make("details", {}, make("summary", {}, "config.toml"), make("pre", { class: "long" }, config)),
    make("details", { open: true }, make("summary", {}, "Versions"), grid([], data.versions)),
  );
}

function showNav() {
  const titles = { verdict: "Verdict", pictures: "Pictures", extremes: "Best and worst", time: "Over time", curves: "Curves", table: "Table", checks: "Checks", "data-facts": "Data", settings: "Settings", again: "Do it again" };
  const there = Object.entries(titles).filter(([id]) => at(id));
  at("nav").append(...there.map(([id, title]) => make("a", { href: `#${id}` }, title)));
  at("foot").append(make("p", { class: "name" }, `Made ${data.made} from ${data.run}. This page needs no network and sends nothing.`));
}

addEventListener("beforeprint", () => document.querySelectorAll("#checks details, #settings details, #again details[open]").forEach((each) => { each.open = true; }));
for (const show of [showHead, showWarnings, showVerdict, showPictures, showExtremes, showTime, showCurves, showTable, showChecks, showData, showSettings, showAgain, showNav]) show();
document.documentElement.dataset.ready = "yes";
