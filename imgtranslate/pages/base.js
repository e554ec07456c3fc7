"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);

/* Make an element. Children that are strings become text, so no text from outside is markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/* Text that may break after _ / . and -, but not within a word, a number or an option. */
function named(text, attributes = {}) {
  const parts = String(text).split(/(?<=[_/])|(?<=\w[.-])(?=[^\d\s-])/).flatMap((part, i) => (i ? [make("wbr"), part] : [part]));
  return make("span", { class: "name", dir: "auto", ...attributes }, ...parts);
}

/* An image; one of few pixels is enlarged without smoothing. */
function picture(source, alt) {
  const image = make("img", { src: source, alt, decoding: "async" });
  image.addEventListener("load", () => {
    image.classList.toggle("coarse", image.naturalWidth < 128);
  });
  return image;
}

const whole = (value) => value.toLocaleString("en");
const counted = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;
const percent = (share) => `${Math.round(100 * share)}\u2009%`;
