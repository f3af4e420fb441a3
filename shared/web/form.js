// Forms in dialogs: what went wrong stays in the dialog, what went well is told by the page.

/** @import { Child, Toast } from "./types.d.ts" */

import { dialog, el, setText } from "./dom.js";
import { reasonOf, t } from "./i18n.js";

/**
 * A labelled input.
 *
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
export function field(label, input, hint) {
  const note = hint ? el("small", { text: hint }) : null;
  return el("label", { class: "field" }, el("span", { text: label }), input, note);
}

/**
 * A form in a dialog of its own.
 *
 * @param {{ title: string, toast: Toast, submit: () => Promise<string>, further?: HTMLElement | null }} options
 *   `submit()` sends it and gives the sentence to tell; `further` is a button beside Save
 * @param {Child[]} children
 */
export function formDialog({ title, toast, submit, further = null }, ...children) {
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const save = el("button", { type: "submit", class: "primary", text: t("save") });
  const form = el("form", { class: "form" }, ...children, problem, el("div", { class: "buttons" }, further, save));
  const shown = dialog(title, { className: "small", closeText: t("close") }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    try {
      toast(await submit());
      shown.close();
    } catch (error) {
      setText(problem, reasonOf(error));
      problem.hidden = false;
    } finally {
      save.disabled = false;
    }
  });
  return shown;
}
