// Two small charts in SVG: a line over steps and bars over days. Readable without colour, by pointer and by keyboard.

const SVG = "http://www.w3.org/2000/svg";
const PAD = { left: 46, right: 10, top: 10, bottom: 22 };

function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function caption(x, y, text, anchor, className = "tick") {
  const node = shape("text", { x, y, "text-anchor": anchor, class: className });
  node.textContent = text;
  return node;
}

/** About `count` round values that cover low to high. */
export function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.75);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) {
    found.push(Number(value.toPrecision(12)));
  }
  return found;
}

/** Draws anew whenever its place gets another width; `draw(width)` returns {svg, points, tell}. */
class Chart {
  constructor(height) {
    this.height = height;
    this.node = document.createElement("div");
    this.node.className = "chart";
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.width = 0;
    this.at = -1;
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
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
      const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!steps || !this.points?.length) return;
      event.preventDefault();
      this.mark(Math.min(this.points.length - 1, Math.max(0, this.at + steps)));
    });
  }

  set(model) {
    this.model = model;
    this.node.tabIndex = 0;
    this.node.setAttribute("role", "img");
    this.node.setAttribute("aria-label", model.label);
    if (this.width) this.render();
  }

  render() {
    if (!this.model) return;
    const svg = shape("svg", {
      width: this.width,
      height: this.height,
      viewBox: `0 0 ${this.width} ${this.height}`,
      "aria-hidden": "true",
    });
    this.points = this.draw(svg, this.width - PAD.left - PAD.right, this.height - PAD.top - PAD.bottom);
    this.cursor = shape(
      "g",
      { class: "cursor", visibility: "hidden" },
      shape("line", { y1: PAD.top, y2: this.height - PAD.bottom }),
      shape("circle", { r: 3.5 }),
    );
    svg.append(this.cursor);
    this.node.replaceChildren(svg, this.tip);
    if (this.at >= this.points.length) this.unpoint();
    else if (this.at >= 0) this.mark(this.at);
  }

  point(x) {
    if (!this.points?.length) return;
    let nearest = 0;
    this.points.forEach((point, index) => {
      if (Math.abs(point.x - x) < Math.abs(this.points[nearest].x - x)) nearest = index;
    });
    this.mark(nearest);
  }

  mark(index) {
    const point = this.points[index];
    this.at = index;
    const [line, circle] = this.cursor.children;
    line.setAttribute("x1", point.x);
    line.setAttribute("x2", point.x);
    circle.setAttribute("cx", point.x);
    circle.setAttribute("cy", point.y);
    this.cursor.setAttribute("visibility", "visible");
    this.tip.textContent = point.text;
    this.tip.hidden = false;
    const half = this.tip.offsetWidth / 2;
    this.tip.style.transform = `translateX(${Math.min(this.width - 2 * half, Math.max(0, point.x - half))}px)`;
    this.node.setAttribute("aria-label", `${this.model.label} ${point.text}`);
  }

  unpoint() {
    this.at = -1;
    this.cursor?.setAttribute("visibility", "hidden");
    this.tip.hidden = true;
  }

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

/** `set({label, points: [{x, y}], formatX, formatY, tell(point), fromZero})` */
export class LineChart extends Chart {
  draw(svg, width, height) {
    const { points, formatX, formatY, tell, fromZero } = this.model;
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
    const floor = PAD.top + height;
    svg.append(
      shape("path", {
        d: `${path}L${placed.at(-1).x.toFixed(1)} ${floor}L${placed[0].x.toFixed(1)} ${floor}Z`,
        class: "area",
      }),
      shape("path", { d: path, class: "line" }),
    );
    return placed;
  }
}

/** `set({label, bars: [{value, name}], format, tell(bar)})` */
export class BarChart extends Chart {
  draw(svg, width, height) {
    const { bars, format, tell } = this.model;
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
