"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);

/* An element; children that are no elements become text, so nothing from outside is markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/* A picture that shows its pixels where it is enlarged much. */
function picture(source, alt) {
  const image = make("img", { src: source, alt, decoding: "async" });
  image.addEventListener("load", () => {
    image.classList.toggle("coarse", image.naturalWidth < 128);
  });
  return image;
}

const whole = (value) => value.toLocaleString("en");
const percent = (share) => `${Math.round(100 * share)}\u2009%`;
