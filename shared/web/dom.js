// Everything that is shown goes through here: elements and text nodes only, never markup from a string.

/** @import { Child, Properties } from "./types.d.ts" */

const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udc7f]/g;

/**
 * Text from outside as it may be shown: control, bidi and invisible characters become visible replacements.
 *
 * @param {unknown} value
 */
export function clean(value) {
  return value === null || value === undefined ? "" : String(value).replace(HIDDEN, "\ufffd");
}

/**
 * An element. Properties: `class`, `text`, `on` ({event: listener}); anything else is an attribute.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {Child[]} children
 */
export function el(tag, properties = {}, ...children) {
  const { class: className, text, on = {}, ...attributes } = properties;
  if ("href" in attributes) throw new Error("Links are made by link() and place() only.");
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = clean(text);
  for (const [event, listener] of Object.entries(on)) {
    node.addEventListener(event, /** @type {EventListener} */ (listener));
  }
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/**
 * Text from outside, kept apart from the direction of what stands around it.
 *
 * @param {unknown} value
 * @param {Properties} [properties]
 */
export function data(value, properties = {}) {
  return el("bdi", { ...properties, text: value });
}

/**
 * Write a text only where it changed, so that nothing is laid out for nothing.
 *
 * @param {Node} node
 * @param {unknown} value
 */
export function setText(node, value) {
  const text = clean(value);
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Write an attribute only where it changed; null, undefined and false take it away.
 *
 * @param {Element} node
 * @param {string} name
 * @param {unknown} value
 */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : clean(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/**
 * @param {HTMLElement} node
 * @param {boolean} isShown
 */
export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

/**
 * Make these the children, in this order. One that stands right already is not touched: it keeps focus and pointer.
 *
 * @param {Element} parent
 * @param {Element[]} nodes
 */
export function setChildren(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const node of nodes) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

/**
 * Whether these are the children, in this order.
 *
 * @param {Element} parent
 * @param {Element[]} nodes
 */
export function hasChildren(parent, nodes) {
  return parent.childElementCount === nodes.length && nodes.every((node, index) => parent.children[index] === node);
}

/**
 * The address if it is https, else null: no other scheme ever becomes a link.
 *
 * @param {unknown} address
 */
export function safeAddress(address) {
  if (typeof address !== "string" || !/^https:\/\//i.test(address) || clean(address) !== address) return null;
  try {
    const url = new URL(address);
    return url.protocol === "https:" && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * A link out of this page, or plain text where the address is none.
 *
 * @param {unknown} address
 * @param {unknown} text
 * @param {Properties} [properties]
 */
export function link(address, text, properties = {}) {
  const href = safeAddress(address);
  if (href === null) return data(text, properties);
  const node = el("a", { ...properties, target: "_blank", rel: "noopener noreferrer" }, data(text));
  node.href = href;
  return node;
}

/**
 * A link to a place within this page.
 *
 * @param {string} fragment
 * @param {Properties} [properties]
 * @param {Child[]} children
 */
export function place(fragment, properties = {}, ...children) {
  const node = el("a", properties, ...children);
  node.href = `#${fragment}`;
  return node;
}

/** @type {HTMLDialogElement[]} */
const openDialogs = [];

/** Where something must stand to be seen and heard: in the dialog on top, else in the page. */
export const onTop = () => openDialogs.at(-1) ?? document.body;

/**
 * A dialog that closes by Escape, by its button and by a click beside it, and gives the focus back.
 *
 * @param {string} title
 * @param {{ className?: string, closeText: string, onClose?: () => void }} options
 * @param {Child[]} children
 */
export function dialog(title, { className = "", closeText, onClose = () => {} }, ...children) {
  const heading = el("h2", { text: title, id: `d${Math.random().toString(36).slice(2)}` });
  const close = el("button", {
    type: "button",
    class: "ghost close",
    "aria-label": closeText,
    title: closeText,
    text: "✕",
  });
  const box = el(
    "dialog",
    { class: className, "aria-labelledby": heading.id },
    el("div", { class: "dialog-head" }, heading, close),
    ...children,
  );
  const opener = document.activeElement;
  close.addEventListener("click", () => box.close());
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  box.addEventListener("close", () => {
    openDialogs.splice(openDialogs.indexOf(box), 1);
    onTop().append(...box.querySelectorAll(":scope > .toasts"));
    box.remove();
    onClose();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus({ preventScroll: true });
  });
  document.body.append(box);
  box.showModal();
  openDialogs.push(box);
  return { box, heading, close: () => box.close() };
}
