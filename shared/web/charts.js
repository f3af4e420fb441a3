// Two small charts in SVG: a line over steps and bars over days. Readable without colour, by pointer and by keyboard.

const SVG = "http://www.w3.org/2000/svg";
const PAD = { left: 46, right: 10, top: 10, bottom: 22 };

/**
 * @typedef {{ x: number, y: number, text: string }} Mark a place in the drawing, and what is told of it
 *
 * @typedef {object} LineModel
 * @property {string} label
 * @property {{ x: number, y: number }[]} points at least two
 * @property {(value: number) => string} formatX
 * @property {(value: number) => string} formatY
 * @property {(point: { x: number, y: number }) => string} tell
 * @property {boolean} [fromZero]
 *
 * @typedef {{ value: number, name: string, jobs: number }} Bar
 *
 * @typedef {object} BarModel
 * @property {string} label
 * @property {Bar[]} bars
 * @property {(value: number) => string} format
 * @property {(bar: Bar) => string} tell
 */

/**
 * @template {"svg" | "g" | "line" | "circle" | "path" | "rect" | "text"} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} attributes
 * @param {Node[]} children
 */
function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
}

/**
 * @param {SVGElement} node
 * @param {Record<string, string | number>} attributes
 */
function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {"start" | "middle" | "end"} anchor
 */
function caption(x, y, text, anchor) {
  const node = shape("text", { x, y, "text-anchor": anchor, class: "tick" });
  node.textContent = text;
  return node;
}

/**
 * About `count` round values that cover low to high.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
export function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough * 0.75) ?? 10) * power;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) {
    found.push(Number(value.toPrecision(12)));
  }
  return found;
}

/**
 * Draws anew whenever its place gets another width.
 *
 * @template {{ label: string }} Model
 */
class Chart {
  /** @param {number} height */
  constructor(height) {
    this.height = height;
    this.node = document.createElement("div");
    this.node.className = "chart";
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.pointer = shape("line", { y1: PAD.top, y2: height - PAD.bottom });
    this.dot = shape("circle", { r: 3.5 });
    this.cursor = shape("g", { class: "cursor", visibility: "hidden" }, this.pointer, this.dot);
    /** @type {Model | null} */
    this.model = null;
    /** @type {Mark[]} */
    this.marks = [];
    this.width = 0;
    this.at = -1;
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry?.contentRect.width ?? 0);
      if (width && width !== this.width) {
        this.width = width;
        this.render();
      }
    }).observe(this.node);
    this.node.addEventListener("pointermove", (event) =>
      this.point(event.clientX - this.node.getBoundingClientRect().left),
    );
    this.node.addEventListener("pointerleave", () => this.unpoint());
    this.node.addEventListener("blur", () => this.unpoint());
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      if (!this.marks.length) return;
      event.preventDefault();
      const next = this.at + (event.key === "ArrowLeft" ? -1 : 1);
      this.mark(Math.min(this.marks.length - 1, Math.max(0, next)));
    });
  }

  /** @param {Model} model */
  set(model) {
    this.model = model;
    this.node.tabIndex = 0;
    this.node.setAttribute("role", "img");
    this.node.setAttribute("aria-label", model.label);
    if (this.width) this.render();
  }

  /**
   * @abstract
   * @param {SVGElement} _svg
   * @param {Model} _model
   * @param {number} _width
   * @param {number} _height
   * @returns {Mark[]}
   */
  draw(_svg, _model, _width, _height) {
    return [];
  }

  render() {
    if (!this.model) return;
    const svg = shape("svg", {
      width: this.width,
      height: this.height,
      viewBox: `0 0 ${this.width} ${this.height}`,
      "aria-hidden": "true",
    });
    this.marks = this.draw(svg, this.model, this.width - PAD.left - PAD.right, this.height - PAD.top - PAD.bottom);
    svg.append(this.cursor);
    this.node.replaceChildren(svg, this.tip);
    if (this.at >= this.marks.length) this.unpoint();
    else this.mark(this.at);
  }

  /** @param {number} x */
  point(x) {
    const distances = this.marks.map((mark) => Math.abs(mark.x - x));
    this.mark(distances.indexOf(Math.min(...distances)));
  }

  /** @param {number} index nothing happens where there is no such mark */
  mark(index) {
    const mark = this.marks[index];
    if (!mark) return;
    this.at = index;
    setAttributes(this.pointer, { x1: mark.x, x2: mark.x });
    setAttributes(this.dot, { cx: mark.x, cy: mark.y });
    this.cursor.setAttribute("visibility", "visible");
    this.tip.textContent = mark.text;
    this.tip.hidden = false;
    const half = this.tip.offsetWidth / 2;
    this.tip.style.transform = `translateX(${Math.min(this.width - 2 * half, Math.max(0, mark.x - half))}px)`;
    this.node.setAttribute("aria-label", `${this.model?.label} ${mark.text}`);
  }

  unpoint() {
    this.at = -1;
    this.cursor.setAttribute("visibility", "hidden");
    this.tip.hidden = true;
  }

  /**
   * @param {SVGElement} svg
   * @param {number} low
   * @param {number} high
   * @param {number} height
   * @param {(value: number) => string} format
   */
  axis(svg, low, high, height, format) {
    for (const value of ticks(low, high, Math.max(2, Math.floor(height / 34)))) {
      const y = PAD.top + height - ((value - low) / (high - low || 1)) * height;
      svg.append(
        shape("line", { x1: PAD.left, x2: this.width - PAD.right, y1: y, y2: y, class: "grid" }),
        caption(PAD.left - 6, y + 3.5, format(value), "end"),
      );
    }
  }
}

/** @extends {Chart<LineModel>} */
export class LineChart extends Chart {
  /**
   * @override
   * @param {SVGElement} svg
   * @param {LineModel} model
   * @param {number} width
   * @param {number} height
   */
  draw(svg, { points, formatX, formatY, tell, fromZero }, width, height) {
    const xs = points.map((point) => point.x);
    const ys = points.map((point) => point.y);
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    let [low, high] = [Math.min(...ys), Math.max(...ys)];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    [low, high] = [fromZero ? 0 : low >= 0 ? Math.max(0, low - room) : low - room, high + room];
    this.axis(svg, low, high, height, formatY);
    const placed = points.map((point) => ({
      x: PAD.left + ((point.x - left) / (right - left || 1)) * width,
      y: PAD.top + height - ((point.y - low) / (high - low)) * height,
      text: tell(point),
    }));
    for (const value of ticks(left, right, Math.max(2, Math.floor(width / 110)))) {
      const x = PAD.left + ((value - left) / (right - left || 1)) * width;
      svg.append(
        caption(
          x,
          this.height - 6,
          formatX(value),
          x < PAD.left + 12 ? "start" : x > this.width - 30 ? "end" : "middle",
        ),
      );
    }
    const path = placed
      .map((point, index) => `${index ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`)
      .join("");
    const [first, last] = [placed[0], placed.at(-1)];
    if (!first || !last) return placed;
    const floor = PAD.top + height;
    svg.append(
      shape("path", { d: `${path}L${last.x.toFixed(1)} ${floor}L${first.x.toFixed(1)} ${floor}Z`, class: "area" }),
      shape("path", { d: path, class: "line" }),
    );
    return placed;
  }
}

/** @extends {Chart<BarModel>} */
export class BarChart extends Chart {
  /**
   * @override
   * @param {SVGElement} svg
   * @param {BarModel} model
   * @param {number} width
   * @param {number} height
   */
  draw(svg, { bars, format, tell }, width, height) {
    const high = Math.max(...bars.map((bar) => bar.value), 0) * 1.06 || 1;
    this.axis(svg, 0, high, height, format);
    const slot = width / bars.length;
    const every = Math.ceil(bars.length / Math.max(2, Math.floor(width / 70)));
    return bars.map((bar, index) => {
      const size = Math.max(bar.value > 0 ? 1.5 : 0, (bar.value / high) * height);
      const x = PAD.left + index * slot;
      const y = PAD.top + height - size;
      svg.append(
        shape("rect", {
          x: x + slot * 0.14,
          y,
          width: Math.max(1, slot * 0.72),
          height: size,
          rx: Math.min(2.5, slot / 4),
          class: "column",
        }),
      );
      if ((bars.length - 1 - index) % every === 0) {
        svg.append(
          caption(x + slot / 2, this.height - 6, bar.name, index === bars.length - 1 && slot < 40 ? "end" : "middle"),
        );
      }
      return { x: x + slot / 2, y, text: tell(bar) };
    });
  }
}
