
const EXPOSURE = 1000, FIXATION = 600; // milliseconds
const stage = at("stage");
const better = data.mode === "better";
const total = data.trials.length, scored = total - data.practice;
const answers = [];
let waiting = null; // the action of each key

/* Return 0 if the real picture, or the first model's, is on the left, else 1. */
function sideOf(index) {
  const [mask, masked] = data.key.map((part) => atob(part).charCodeAt(index));
  return mask ^ masked;
}

/* Return the 95 % score interval of a proportion (Wilson 1927). */
function wilson(hits, count) {
  const z = 1.959964, share = hits / count, wide = z * z / count;
  const middle = (share + wide / 2) / (1 + wide);
  const half = (z / (1 + wide)) * Math.sqrt(share * (1 - share) / count + wide / (4 * count));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

function show(...parts) {
  stage.replaceChildren(...parts);
}

function button(text, act, first = true) {
  return make("button", { type: "button", class: first ? "first go" : "go", onclick: act }, text);
}

addEventListener("keydown", (event) => {
  if (!waiting || event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
  const act = waiting[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

function intro() {
  at("line").firstChild.style.width = "0";
  answers.length = 0;
  const start = () => trial(0);
  const keys = make("p", {}, "Answer with the buttons, or with the keys ", make("kbd", {}, "←"), " and ", make("kbd", {}, "→"), ".");
  const real = `You see two pictures at a time. One is a real picture (${data.target}); a computer made the other.`;
  const lines = better
    ? [`You see a picture (${data.source}) and two translations of it (${data.target}). Choose the better one: the one that looks more real and still shows the same scene.`,
      `The study has ${counted(total, "question")}, without a time limit.`]
    : [`${real} Both are shown for one second. Then choose the real one.`,
      (data.practice ? `You start with ${counted(data.practice, "practice pair")}, which show the answer. Then ${counted(scored, "pair")} ${scored === 1 ? "counts" : "count"}.` : `The study has ${counted(scored, "pair")}.`)];
  show(
    make("h1", { class: "name" }, better ? "Which is better?" : "Which one is real?"),
    make("div", { class: "words name" }, ...lines.map((text) => make("p", {}, text)), keys,
      make("p", { class: "pale" }, "Your answers stay in this browser. The page sends nothing.")),
    button("Start", start),
  );
  waiting = { Enter: start, " ": start };
}

function load(index) {
  const image = picture(data.pictures[index], "");
  return image.decode().then(() => image, () => image);
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
/* Wait until the screen is drawn, at most 100 ms. */
const painted = () => Promise.race([
  new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }), pause(100),
]);

function positionOf(index) {
  if (index < data.practice) return `Practice ${index + 1} of ${data.practice}`;
  return `${index - data.practice + 1} of ${scored}`;
}

async function trial(index) {
  waiting = null;
  const cells = [make("div", { class: "cell" }), make("div", { class: "cell" })];
  const cross = make("div", { class: "cross", "aria-hidden": "true" }, "+");
  const ask = make("div", { class: "ask", "aria-live": "polite" });
  const pair = make("div", { class: "pair" }, ...cells, cross);
  const parts = [make("p", { class: "count" }, positionOf(index)), pair, ask];
  const images = await Promise.all(data.trials[index].map(load));
  if (better) parts.splice(1, 0, make("div", { class: "cell" }, images[2]));
  show(...parts);
  if (!better) await pause(FIXATION);
  cross.remove();
  cells.forEach((cell, i) => cell.append(images[i]));
  await painted();
  const began = performance.now();
  let seen = null;
  if (!better) {
    await pause(EXPOSURE);
    cells.forEach((cell) => cell.replaceChildren());
    seen = Math.round(performance.now() - began);
  }
  question(index, { cells, images, ask, seen });
}

function question(index, { cells, images, ask, seen }) {
  const asked = performance.now();
  const answer = (side) => {
    waiting = null;
    const key = sideOf(index);
    answers.push({ index, practice: index < data.practice, key, side, seen, took: Math.round(performance.now() - asked) });
    at("line").firstChild.style.width = `${100 * (index + 1) / total}%`;
    if (index < data.practice) return feedback(index, { cells, images, ask, right: key === side });
    return next(index);
  };
  ask.replaceChildren(
    make("p", {}, better ? "Which is better?" : "Which was real?"),
    make("div", { class: "row" }, button("← Left", () => answer(0)), button("Right →", () => answer(1))),
  );
  waiting = { ArrowLeft: () => answer(0), ArrowRight: () => answer(1) };
}

function feedback(index, { cells, images, ask, right }) {
  cells.forEach((cell, i) => cell.replaceChildren(images[i]));
  cells[sideOf(index)].classList.add("right");
  const go = () => next(index);
  ask.replaceChildren(
    make("p", { class: "verdict" }, right ? "Correct." : `Wrong: the real picture is on the ${sideOf(index) ? "right" : "left"}.`),
    button("Next", go));
  waiting = { Enter: go, " ": go };
}

function next(index) {
  if (index + 1 === total) return result();
  if (index + 1 === data.practice) {
    const go = () => trial(index + 1);
    show(make("h1", {}, "Practice is over"), make("p", {}, `The next ${scored === 1 ? "pair counts" : `${whole(scored)} pairs count`}. Answers are not shown.`), button("Next", go));
    waiting = { Enter: go, " ": go };
    return undefined;
  }
  return trial(index + 1);
}

function scale(share, [low, high]) {
  const x = (value) => (20 + value * 440).toFixed(1);
  const space = "http://www.w3.org/2000/svg";
  const part = (tag, attributes, text = "") => {
    const element = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  const drawing = part("svg", { viewBox: "0 0 480 62", role: "img", "aria-label": `${percent(share)}, interval ${percent(low)} to ${percent(high)}` });
  drawing.append(
    part("line", { x1: 20, x2: 460, y1: 24, y2: 24, stroke: "var(--line)", "stroke-width": 8, "stroke-linecap": "round" }),
    part("line", { x1: x(low), x2: x(high), y1: 24, y2: 24, stroke: "var(--accent)", "stroke-width": 8, "stroke-linecap": "round", opacity: 0.45 }),
    part("line", { x1: x(0.5), x2: x(0.5), y1: 10, y2: 38, stroke: "var(--pale)", "stroke-dasharray": "3 3" }),
    part("circle", { cx: x(share), cy: 24, r: 8, fill: "var(--accent)" }),
    part("text", { x: 20, y: 56 }, "0\u2009%"),
    part("text", { x: x(0.5), y: 56, "text-anchor": "middle" }, better ? "equally good" : "chance"),
    part("text", { x: 460, y: 56, "text-anchor": "end" }, "100\u2009%"),
  );
  return make("div", { class: "scale" }, drawing);
}

function result() {
  waiting = null;
  const counting = answers.filter((each) => !each.practice);
  const hits = counting.filter((each) => (better ? each.side === each.key : each.side !== each.key)).length;
  const share = hits / counting.length, interval = wilson(hits, counting.length);
  const between = `95\u2009% interval ${percent(interval[0])} to ${percent(interval[1])}`;
  const words = better
    ? `You preferred ${data.models[0]} to ${data.models[1]} in ${whole(hits)} of ${counted(counting.length, "comparison")}; ${between}.`
    : `You took the translation for the real picture in ${whole(hits)} of ${counted(counting.length, "pair")}; ${between}. At 50\u2009% nobody can tell them apart.`;
  stage.dataset.hits = hits;
  show(
    make("h1", {}, better ? "Preference for the first model" : "Translations taken for real"),
    make("div", { class: "share" }, percent(share)),
    scale(share, interval),
    make("div", { class: "words name" }, make("p", {}, words),
      make("p", { class: "pale" }, "The answers of one person say little. Download the CSV file, and collect those of several people.")),
    make("div", { class: "row" }, button("Download CSV", download), button("Start again", intro, false)),
  );
}

/* The last columns name the study and its models, for `study --collect`. */
function csv() {
  const side = (value) => (value ? "right" : "left");
  const head = ["trial", "scored", better ? "first_model" : "real", "answer", better ? "preferred_first" : "fooled", "shown_ms", "answer_ms", "study", ...(better ? ["first", "second"] : ["model"])];
  const names = data.models.slice(0, better ? 2 : 1).map((name) => `"${name.replaceAll('"', '""')}"`);
  const rows = answers.map((each) => [each.index + 1, Number(!each.practice), side(each.key), side(each.side),
    Number(better ? each.side === each.key : each.side !== each.key), each.seen ?? "", each.took, data.study, ...names]);
  return `${[head, ...rows].map((row) => row.join(",")).join("\r\n")}\r\n`;
}

function download() {
  const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  make("a", { href: address, download: better ? "study-compare.csv" : "study.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

intro();
document.documentElement.dataset.ready = "yes";
