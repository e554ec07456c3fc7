
const ways = { ab: `${data.names.a} → ${data.names.b}`, ba: `${data.names.b} → ${data.names.a}` };
const cycles = { ab: `${ways.ab} → ${data.names.a}`, ba: `${ways.ba} → ${data.names.b}` };
const oneWay = !data.paired && !data.back;
const fraction = (value) => value.toFixed(4);
/* `better`: 1 where a higher number is better, -1 where a lower one is, 0 where neither is. */
const measures = [
  { key: "error", label: data.paired ? "Error" : "Cycle error", better: -1, text: fraction },
  { key: "untouched", label: "Input error", better: 0, text: fraction },
  { key: "psnr", label: "PSNR", better: 1, text: (v) => `${v.toFixed(1)} dB` },
  { key: "ssim", label: "SSIM", better: 1, text: (v) => v.toFixed(3) },
  { key: "content", label: "Content", better: 1, text: (v) => v.toFixed(3) },
  { key: "change", label: "Change", better: 0, text: fraction },
  { key: "diversity", label: "Diversity", better: 0, text: fraction },
];
const isNumber = (value) => typeof value === "number";
const textOf = (measure, row) => (isNumber(row[measure.key]) ? measure.text(row[measure.key]) : "–");
const usedIn = (rows) => measures.filter(({ key }) => rows.some((row) => isNumber(row[key])));
const titlesOf = ({ direction: [from, to] }) => [
  `Real ${data.names[from]}`, `Fake ${data.names[to]}`,
  ...(oneWay ? [] : [data.paired ? `True ${data.names[to]}` : `Recovered ${data.names[from]}`]),
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
      tell("content", `content kept, ${ways[way]}`);
      tell("change", `change, ${ways[way]}`);
    }
  }
  if (data.validation) {
    const { first, best } = data.validation;
    add(best.value.toPrecision(3), `best validation, step ${whole(best.step)}`,
      best.step === first.step ? null : `first ${first.value.toPrecision(3)}, step ${whole(first.step)}`);
  }
  at("head").append(
    make("h1", { class: "name", dir: "auto" }, `${data.names.a} ${data.back ? "⇄" : "→"} ${data.names.b}`),
    make("p", { class: "pale name" }, `${data.method}, ${data.size} px, ${progress}`),
    make("div", { class: "tiles" }, ...tiles),
  );
  if (!rows.length) return;
  at("head").append(note(
    `Means over ${counted(rows.length, "held-out picture")}. Errors and changes are mean absolute differences, as fractions of the full range. `
    + (data.paired ? "Error: translation against truth."
      : oneWay ? "Content: agreement of picture and translation about edges; 1 is equal, 0 is unrelated. High content with a low change only means that the generator changes nothing."
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
    make("h3", {}, named((data.back ? cycles : ways)[one.direction])),
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
    const shown = [real, fakes[seed], ...(third ? [third] : [])];
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
    : [["Real | Fake", [0, 1]], ...(oneWay ? [] : [["Real | Recovered", [0, 2]]])];
  const compare = choice("Compare", pairs.map(([text], i) => [i, text]), 0, (i) => { [, compared] = pairs[i]; draw(); });
  body("pictures").append(
    make("div", { class: "bar" }, ...(directions.length > 1 ? [way] : []), ...(pairs.length > 1 ? [compare] : [])),
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
  if (!data.samples.length) return leaveOut("time");
  const strips = samplesOverTime();
  body("time").append(strips.element);
  strips.show([{ samples: data.samples }]);
  showMissing("time");
}

function showCurves() {
  if (!data.curves.length) return leaveOut("curves");
  const panel = curvesPanel();
  body("curves").append(...panel.elements);
  panel.show(chartsOf(data.curves, data.names));
  showMissing("curves");
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
