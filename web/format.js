"use strict";
// Numbers and names as people read them.

const Format = (() => {
  const TIMES = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
  const BYTES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
  const COUNTS = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];

  function digits(value) {
    const size = Math.abs(value);
    return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
  }

  function scaled(value, scales) {
    const [size, name] = scales.find(([size]) => Math.abs(value) >= size) || scales[scales.length - 1];
    return name ? `${digits(value / size)} ${name}` : digits(value / size);
  }

  const grouped = new Intl.NumberFormat("en"); // to make one takes far longer than to use it

  function count(value) {
    return Number.isInteger(value) ? grouped.format(value) : digits(value);
  }

  // A value of a profile or a series in its unit.
  function value(number, unit) {
    if (unit === "nanoseconds") return scaled(number, TIMES);
    if (unit === "bytes") return scaled(number, BYTES);
    if (unit === "percent") return `${digits(number)} %`;
    if (unit === "count" || !unit) return count(number);
    return `${count(number)} ${unit}`;
  }

  // The same, short, for the ticks of an axis.
  function tick(number, unit) {
    if (number === 0) return "0";
    if (unit === "nanoseconds") return scaled(number, TIMES);
    if (unit === "bytes") return scaled(number, BYTES);
    return scaled(number, COUNTS).replace(/ /, "\u202f") + (unit === "percent" ? " %" : "");
  }

  function percent(part, whole) {
    return whole > 0 ? `${(100 * part / whole).toFixed(part >= whole ? 0 : 2)} %` : "–";
  }

  function signed(number, unit) {
    return (number > 0 ? "+" : number < 0 ? "−" : "±") + value(Math.abs(number), unit);
  }

  // Names come from binaries that nobody vouches for: what does not show, or turns the direction of the text around
  // it, becomes a dot.
  function name(text) {
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, "·");
  }

  return { value, tick, percent, signed, count, name };
})();

// An element with properties and children; texts are always text.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A canvas as large as its box, in device pixels; false: nothing to draw on.
function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
