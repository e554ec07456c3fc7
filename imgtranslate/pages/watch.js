
/* The live page: it asks for the list of runs, and for each run that it shows once its files change. */

const EVERY = 2000; // milliseconds between two lists
const PATIENCE = 20000; // milliseconds for an answer
const show = { list: data, runs: new Map(), lost: null };

/* The keys in the address, or those that a visitor most likely wants. */
function chosen() {
  const keys = decodeURIComponent(location.hash.slice(1)).split(",").filter(Boolean);
  if (keys.length) return keys.slice(0, COLOURS);
  const { runs, folder } = show.list;
  const training = runs.filter(({ state }) => state === "training");
  const usual = folder && training.length ? training : folder ? runs.slice(0, 1) : runs;
  return usual.slice(0, COLOURS).map(({ key }) => key);
}
const choose = (keys) => { location.hash = keys.join(","); };

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

async function update() {
  try {
    show.list = await ask("runs");
    for (const key of chosen()) {
      const listed = show.list.runs.find((run) => run.key === key), known = show.runs.get(key);
      if (!listed || listed.fault || known?.version === listed.version) continue;
      const found = await ask(`runs/${encodeURIComponent(key)}`);
      if (found) show.runs.set(key, found);
    }
    show.lost = null;
  } catch {
    show.lost ??= new Date();
  }
  draw();
}

let timer = 0;
async function follow() {
  clearTimeout(timer);
  if (document.hidden) return;
  await update();
  clearTimeout(timer);
  timer = setTimeout(follow, EVERY);
}

/* Words */

function inWords(seconds) {
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${all % 60} s`;
  if (all < 86400) return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
  return `${(seconds / 86400).toFixed(1)} days`;
}
const ago = (seconds) => {
  const [size, unit] = [[86400, "days"], [3600, "h"], [60, "min"], [1, "s"]].find(([each]) => seconds >= 2 * each) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit} ago`;
};
const figure = (value) => (value === 0 ? "0" : value.toPrecision(3));
const paced = (seconds) => (seconds < 1 ? `${figure(1 / seconds)} steps/s` : `${figure(seconds)} s a step`);
const titleOf = (run) => (run.names ? `${run.names.a} ${run.both ? "⇄" : "→"} ${run.names.b}` : run.name);
const lineOf = (run) => `${run.name}: ${run.method}, ${run.size} px`;
const stepOf = ({ step, total }) => (total ? `${whole(step)} of ${whole(total)}` : whole(step));
const share = ({ step, total }) => (total ? Math.min(1, step / total) : null);
const stateOf = (run) => {
  if (run.gone) return "gone";
  if (run.state === "training" && !run.rows) return "starting";
  if (run.ended_early) return "ended early";
  return run.state === "unread" ? "not read yet" : run.state;
};
const sameNames = (runs) => {
  const [{ names }] = runs;
  return runs.every((run) => run.names.a === names.a && run.names.b === names.b) ? names : { a: "A", b: "B" };
};

function gauge(run) {
  const bar = make("i");
  bar.style.width = `${100 * share(run)}%`;
  return make("div", { class: "gauge", role: "img", "aria-label": percent(share(run)) }, bar);
}

/* A part of the page is built anew only when what it shows has changed. */
const built = new Map();
function fill(id, content, build) {
  const section = at(id), text = JSON.stringify(content);
  section.hidden = content === null;
  if (content === null || built.get(id) === text) return;
  built.set(id, text);
  (section.querySelector(".body, ul") ?? section).replaceChildren(...build(content));
}

/* The parts of the page, from the top */

function draw() {
  const keys = chosen();
  const listed = new Map(show.list.runs.map((run) => [run.key, run]));
  const runs = keys.map((key) => ({ ...show.runs.get(key), ...(listed.get(key) ?? { key, gone: true }) }));
  const readable = runs.filter((run) => run.curves && run.names);
  const one = runs.length === 1 ? runs[0] : null;
  const several = show.list.runs.length > 1 || Boolean(show.list.folder);
  readable.forEach((run) => { run.colour = colourOf(keys.indexOf(run.key)); });

  document.body.classList.toggle("several", runs.length > 1);
  drawHead(one, several);
  fill("lost", show.lost && show.lost.toLocaleTimeString(), (time) => [`The server has not answered since ${time}. The figures are those of that time. Start imgtranslate watch again.`]);
  drawHealth(runs);
  drawList(keys, several);
  drawState(one, several);
  drawSamples(readable);
  drawCurves(readable, one);
  drawSettings(readable);
  drawAbout(one);
  document.documentElement.dataset.ready = "yes";
}

function drawHead(one, several) {
  const { folder, runs: all } = show.list;
  const done = one && one.state === "training" && share(one) !== null ? `${percent(share(one))} ` : "";
  document.title = one?.name ? `${done}${one.name}` : counted(all.length, "run");
  const title = several ? (all.length ? counted(all.length, "run") : "No runs yet") : one?.names ? titleOf(one) : one?.name ?? "This run";
  const line = several ? (all.length ? folder && `in ${folder}` : `A run appears here when a training starts in ${folder}.`) : one?.names ? lineOf(one) : "";
  fill("head", { title, line }, () => [make("h1", { class: "name", dir: "auto" }, title), make("p", { class: "pale name" }, line)]);
}

/* The warnings of the runs that are shown, and the names of others that have some. */
function drawHealth(runs) {
  const label = (run, text) => (runs.length > 1 || show.list.runs.length > 1 ? `${run.name ?? "A run"}: ${text}` : text);
  const lines = runs.flatMap((run) => [
    ...(run.gone ? [label(run, `The folder is gone.${run.curves ? " Its last figures are shown." : ""}`)] : []),
    ...(run.fault && !run.gone ? [label(run, run.fault)] : []),
    ...[...(run.unwell ?? [])].reverse().map(([step, text]) => label(run, `Step ${whole(step)}: ${text}`)),
  ]);
  const others = show.list.runs.filter((run) => !runs.some(({ key }) => key === run.key) && (run.fault || run.unwell?.length));
  if (others.length) lines.push(`Warnings of runs that are not shown: ${others.slice(0, 9).map(({ name }) => name).join(", ")}${others.length > 9 ? ` and ${whole(others.length - 9)} more` : ""}`);
  fill("unwell", lines.length ? lines : null, () => lines.map((line) => make("li", {}, named(line))));
}

/* The table of runs. Rows stay, so that a poll moves no focus. */
const rows = new Map();
const HEADS = ["Run", "State", "Step", "Left", "Validation", "Best", "Last row"];
const table = make("tbody");

function drawList(keys, several) {
  const { runs, left_out: leftOut } = show.list;
  at("list").hidden = !several || !runs.length;
  if (!at("list").querySelector("table")) {
    at("list").querySelector(".body").append(
      make("div", { class: "scroll" }, make("table", { class: "runs stacked" },
        make("thead", {}, make("tr", {}, ...HEADS.map((text) => make("th", { scope: "col" }, text)))), table)),
      make("p", { class: "note" }));
  }
  at("list").querySelector(".note").textContent = `Choose up to ${COLOURS} runs to see them side by side, or follow a name to see one.${leftOut ? ` ${counted(leftOut, "older run")} not listed.` : ""}`;
  for (const [key, { row }] of rows) if (!runs.some((run) => run.key === key)) { row.remove(); rows.delete(key); }
  runs.forEach((run, i) => {
    if (!rows.has(run.key)) rows.set(run.key, rowOf(run.key));
    const { row, update: fillRow } = rows.get(run.key);
    if (table.children[i] !== row) table.insertBefore(row, table.children[i] ?? null);
    fillRow(run, keys);
  });
}

function rowOf(key) {
  const box = make("input", { type: "checkbox", onchange: () => {
    const keys = chosen();
    const order = show.list.runs.map((run) => run.key);
    const wanted = box.checked ? [...keys, key] : keys.filter((each) => each !== key);
    choose(wanted.length ? wanted.sort((x, y) => order.indexOf(x) - order.indexOf(y)) : keys);
    draw();
  } });
  const colour = make("i", { class: "swatch" });
  const link = make("a", { class: "name", dir: "auto", href: `#${key}` });
  const cells = HEADS.slice(1).map((label) => make("td", { "data-label": label }));
  const row = make("tr", {}, make("td", {}, make("label", {}, box), colour, link), ...cells);
  function update(run, keys) {
    const index = keys.indexOf(key);
    box.checked = index >= 0;
    box.disabled = (index < 0 && keys.length >= COLOURS) || (index >= 0 && keys.length === 1);
    box.setAttribute("aria-label", `Show ${run.name}`);
    colour.hidden = index < 0 || keys.length < 2;
    colour.style.background = colourOf(index);
    row.classList.toggle("chosen", index >= 0);
    link.textContent = run.name;
    const { validation } = run;
    const contents = run.names ? [
      [make("span", { class: `state ${run.state}` }, stateOf(run)), run.unwell.length ? make("span", { class: "unwell" }, ` ⚠ ${run.unwell.length}`) : ""],
      [stepOf(run), share(run) === null ? "" : gauge(run)],
      [run.remaining === null ? "–" : inWords(run.remaining)],
      [validation ? figure(validation.last.value) : "–"],
      [validation ? `${figure(validation.best.value)} at ${whole(validation.best.step)}` : "–"],
      [run.rows ? ago(run.age) : "–"],
    ] : [[make("span", { class: `state ${run.state}` }, stateOf(run))], ["–"], ["–"], ["–"], ["–"], ["–"]];
    cells.forEach((cell, i) => cell.replaceChildren(...contents[i].filter((each) => each !== "")));
  }
  return { row, update };
}

function drawState(one, several) {
  at("state").hidden = !one?.names;
  if (!one?.names) return;
  const { validation } = one;
  const tile = (value, ...below) => make("div", { class: "tile" }, make("b", {}, value), ...below.filter(Boolean).map((each) => (typeof each === "string" ? make("span", {}, named(each)) : each)));
  const tiles = [make("div", { class: "tile" }, make("b", { class: `state ${one.state}` }, stateOf(one)), share(one) === null ? "" : gauge(one), make("span", {}, `step ${stepOf(one)}`))];
  if (one.state === "training") {
    tiles.push(one.remaining === null ? tile("–", one.pace === null ? "time left: known after a few rows" : "time left")
      : tile(inWords(one.remaining), "left", paced(one.pace)));
  } else if (one.pace !== null) tiles.push(tile(paced(one.pace), "pace"));
  if (validation) {
    const { first, last, best } = validation;
    tiles.push(tile(figure(last.value), `validation, step ${whole(last.step)}`, "lower is better"));
    tiles.push(tile(figure(best.value), best.step === last.step ? `the best so far, step ${whole(best.step)}` : `best validation, step ${whole(best.step)}`, best.step === first.step ? null : `first ${figure(first.value)}, step ${whole(first.step)}`));
  } else tiles.push(tile("–", one.rows ? "no validation yet" : "validation"));
  tiles.push(tile(ago(one.age), one.rows ? "last row of figures" : "start"));
  const links = [];
  if (one.report) links.push(make("a", { href: `runs/${encodeURIComponent(one.key)}/report`, target: "_blank", rel: "noopener" }, "Report of the last check or end"));
  const parts = [make("div", { class: "tiles" }, ...tiles)];
  if (several) parts.unshift(make("h2", {}, named(`${titleOf(one)}`)), make("p", { class: "pale" }, named(lineOf(one))));
  if (links.length) parts.push(make("p", { class: "more-links" }, ...links));
  at("state").querySelector(".body").replaceChildren(...parts);
}

const samples = samplesOverTime();
at("time").querySelector(".body").append(samples.element);

function drawSamples(runs) {
  const drawn = runs.filter((run) => run.samples.length);
  at("time").hidden = !drawn.length;
  if (!drawn.length) return;
  samples.show(drawn.map((run) => ({
    label: runs.length > 1 ? run.name : null,
    colour: run.colour,
    samples: run.samples.map(([step, mark]) => ({ step, picture: `runs/${encodeURIComponent(run.key)}/samples/${step}?${mark}` })),
  })));
}

const panel = curvesPanel();
const awaiting = note();
at("curves").querySelector(".body").append(awaiting, ...panel.elements);

function drawCurves(runs, one) {
  const charts = runs.length > 1 ? chartsAcross(runs) : runs.length ? chartsOf(runs[0].curves, runs[0].names) : [];
  at("curves").hidden = !runs.length;
  panel.elements.forEach((each) => { each.hidden = !charts.length; });
  awaiting.hidden = Boolean(charts.length);
  if (one?.log_every) awaiting.textContent = `No figures yet. The first row is written at step ${whole(one.log_every)}.`;
  panel.show(charts);
}

/* The charts of several runs: a chart for each number, with a line for each run that has it. */
function chartsAcross(runs) {
  const names = sameNames(runs);
  const numbers = [...new Set(runs.flatMap((run) => run.curves.map(({ name }) => name)))];
  const charts = groups.flatMap((group) => numbers.filter((name) => groupOf(name) === group).map((name) => {
    const text = spelled(name, names), parent = /^validation_/.test(name) ? "Validation: " : "";
    return {
      title: parent + (parent ? text : text[0].toUpperCase() + text.slice(1)),
      smooth: group.smooth,
      lines: runs.flatMap((run) => run.curves.filter((curve) => curve.name === name).map((curve) => ({ ...curve, label: run.name, colour: run.colour }))),
    };
  }));
  return [...charts.filter(({ lines }) => lines.length > 1), ...charts.filter(({ lines }) => lines.length === 1)];
}

function drawSettings(runs) {
  if (!runs.length) return fill("settings", null);
  const named = [...new Set(runs.flatMap((run) => run.settings.map(({ name }) => name)))];
  const valueOf = (run, name) => run.settings.find((each) => each.name === name)?.value ?? "–";
  const one = runs.length === 1;
  const differing = one ? runs[0].settings.filter(({ differs }) => differs).map(({ name, value, usual }) => [name, value, usual || "–"])
    : named.map((name) => [name, ...runs.map((run) => valueOf(run, name))]).filter(([, ...values]) => new Set(values).size > 1);
  const heads = one ? ["Setting", "Value", "Default"] : ["Setting", ...runs.map(({ name }) => name)];
  fill("settings", { heads, differing }, () => [
    differing.length ? grid(heads, differing) : make("p", {}, one ? "All settings have their defaults." : "These runs have the same settings."),
    note(one ? "Settings with their default value are not listed." : "Settings that are the same in all of these runs are not listed."),
  ]);
}

function drawAbout(one) {
  if (!one?.curves || !one.names) return fill("about", null);
  const { data: facts, data_warnings: warnings, earlier, not_finite: notFinite, resume, folder, state, ended_early: early } = one;
  const list = (title, lines) => (lines.length ? make("details", {}, make("summary", {}, title), make("ul", {}, ...lines.map((line) => make("li", {}, named(line))))) : "");
  fill("about", { facts, warnings, earlier, notFinite, resume, folder, state, early }, () => [
    ...facts.map((line) => make("p", {}, named(line))),
    list(`${counted(warnings.length, "warning")} of the data check`, warnings),
    list(`${counted(earlier.length, "warning")} of the first half of the training`, earlier.map(([step, text]) => `Step ${whole(step)}: ${text}`)),
    list("Numbers that were not finite", notFinite),
    note(named(`Folder: ${folder}`)),
    ...(state === "stopped" || early ? [note("To continue this run:"), copyable(resume)] : []),
  ].filter((each) => each !== ""));
}

addEventListener("hashchange", follow);
document.addEventListener("visibilitychange", follow);
at("foot").append(make("p", {}, "This page reads the files of the runs. It writes nothing, and loads nothing from elsewhere."));
draw();
follow();
