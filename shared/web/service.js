// What keeps the page true: the provider's token, the poller and the webhook, and the dialogs that set them.

/** @import { PollingStatus, Provider, ProviderConfig, Toast } from "./types.d.ts" */

import * as api from "./api.js";
import { clean, el, link, setAttribute, setText } from "./dom.js";
import { field, formDialog } from "./form.js";
import { ago, duration, exact, number, reasonOf, t } from "./i18n.js";

export const PROVIDER = "replicate";
const TOKEN_PAGE = "https://replicate.com/account/api-tokens";

/** A dot, a name, a state in words, and what can be done about it. */
class Line {
  /**
   * @param {string} name
   * @param {HTMLElement[]} actions
   */
  constructor(name, ...actions) {
    this.label = el("span", { class: "label" });
    this.text = el("span", { class: "state" });
    this.node = el(
      "li",
      { "data-state": "unknown", class: name },
      el("span", { class: "dot" }),
      el("div", {}, this.label, this.text),
      el("span", { class: "actions" }, ...actions),
    );
  }

  /**
   * @param {"good" | "warn" | "bad" | "off" | "unknown"} state
   * @param {unknown} text
   */
  say(state, text) {
    this.node.dataset.state = state;
    setText(this.text, text);
  }
}

/** @param {() => unknown} click */
const button = (click) => el("button", { type: "button", class: "quiet", hidden: true, on: { click } });

export class Service {
  /** @param {{ toast: Toast, onProvider: () => void }} hooks `onProvider()` after the token has changed */
  constructor({ toast, onProvider }) {
    this.toast = toast;
    this.onProvider = onProvider;
    /** @type {boolean | null} */
    this.isConnected = null;
    /** @type {boolean | null} */
    this.hasToken = null;
    /** @type {ProviderConfig | null} */
    this.config = null;
    /** @type {PollingStatus | null} */
    this.polling = null;
    this.tokenButton = button(() => this.editToken());
    this.urlButton = button(() => this.editWebhook());
    this.testButton = button(() => this.testWebhook());
    this.provider = new Line("provider", this.tokenButton);
    this.poller = new Line("poller");
    this.webhook = new Line("webhook", this.urlButton, this.testButton);
    this.node = el("ul", { class: "states" }, this.provider.node, this.poller.node, this.webhook.node);
    this.sayTitles();
  }

  /** What does not depend on any answer. */
  sayTitles() {
    setText(this.provider.label, "Replicate");
    setText(this.poller.label, t("poller"));
    setText(this.webhook.label, t("webhook"));
    setText(this.testButton, t("webhook.test"));
  }

  /** All at once; each part says for itself when it could not be read. */
  async load() {
    await Promise.all([this.loadProvider(), this.loadPoller(), this.loadConfig()]);
  }

  /** What could not be read, or was not well when it was read. */
  async loadMissing() {
    const provider = this.isConnected === true ? null : this.loadProvider();
    await Promise.all([provider, this.config === null ? this.loadConfig() : null]);
  }

  get tokenAct() {
    return t(this.hasToken || this.isConnected ? "provider.change" : "provider.add");
  }

  /** Why the provider cannot be read, or who it is connected as. */
  get providerState() {
    return this.provider.text.textContent;
  }

  /** @param {Provider[]} providers */
  takeProviders(providers) {
    this.hasToken = providers.some((provider) => provider.id === PROVIDER && provider.configured);
    setText(this.tokenButton, this.tokenAct);
  }

  async loadProvider() {
    try {
      const found = await api.validateProvider(PROVIDER);
      this.isConnected = found.valid;
      if (found.valid) this.provider.say("good", t("provider.valid", { user: clean(found.username) }));
      else this.provider.say("bad", found.error);
    } catch (error) {
      this.provider.say("unknown", reasonOf(error));
    }
    setText(this.tokenButton, this.tokenAct);
    this.tokenButton.hidden = false;
  }

  async loadPoller() {
    try {
      this.polling = await api.readPolling();
      this.showPoller();
    } catch (error) {
      if (!this.polling) this.poller.say("unknown", reasonOf(error));
    }
  }

  /** Poller and webhook stand in for each other, so each is told by the other's state, too. */
  showPoller() {
    const { polling } = this;
    if (!polling) return;
    const { is_active, last_tick_at, reason, effective_interval_seconds } = polling;
    const [fault] = polling.last_errors;
    const last = last_tick_at ? t("poller.last", { ago: ago(last_tick_at) }) : t("poller.never");
    const every = t("poller.on", { every: duration(effective_interval_seconds) });
    if (!is_active && this.config?.webhook_url) this.poller.say("off", t("poller.off"));
    else if (!is_active) this.poller.say("warn", t("poller.offAll"));
    else if (fault) this.poller.say("bad", t("poller.fault", { why: clean(fault.message) }));
    else this.poller.say("good", t("sentences", { first: every, second: last }));
    const exactly = last_tick_at ? t("poller.last", { ago: exact(last_tick_at) }) : last;
    setAttribute(this.poller.text, "title", [reason, exactly].filter(Boolean).join(" · "));
    this.showConfig();
  }

  async loadConfig() {
    try {
      this.config = (await api.readProviderConfig(PROVIDER)).config;
      this.showConfig();
      this.showPoller();
    } catch (error) {
      this.webhook.say("unknown", reasonOf(error));
    }
  }

  showConfig() {
    if (!this.config) return;
    const url = this.config.webhook_url;
    if (url) this.webhook.say("good", url);
    else this.webhook.say("off", t(this.polling?.is_active === false ? "webhook.none" : "webhook.off"));
    setAttribute(this.webhook.text, "title", url || null);
    setText(this.urlButton, url ? t("change") : t("webhook.set"));
    this.urlButton.hidden = false;
    this.testButton.hidden = !url;
  }

  /** After the language has changed. */
  renew() {
    this.sayTitles();
    this.load();
  }

  editToken() {
    const input = el("input", {
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      maxlength: 512,
    });
    const forget = el("button", { type: "button", class: "danger quiet", text: t("provider.forget") });
    const shown = formDialog(
      {
        title: t("provider.dialog"),
        toast: this.toast,
        further: this.isConnected ? forget : null,
        submit: async () => {
          const kept = await api.keepToken(PROVIDER, input.value);
          await this.loadProvider();
          this.onProvider();
          return kept.error ?? t("provider.kept", { where: clean(kept.file_path) });
        },
      },
      el("p", {}, t("provider.intro"), " ", link(TOKEN_PAGE, TOKEN_PAGE)),
      field(t("provider.token"), input),
    );
    forget.addEventListener("click", async () => {
      if (forget.textContent !== t("provider.forgetSure")) {
        setText(forget, t("provider.forgetSure"));
        return;
      }
      await this.forgetToken();
      shown.close();
      await this.loadProvider();
      this.onProvider();
    });
  }

  async forgetToken() {
    try {
      const { success, error } = await api.forgetToken(PROVIDER);
      this.toast(success ? t("provider.forgotten") : clean(error), success ? "good" : "bad");
    } catch (error) {
      this.toast(reasonOf(error), "bad");
    }
  }

  editWebhook() {
    const input = el("input", {
      type: "url",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 300,
      placeholder: "https://…/api/webhooks/replicate",
      value: this.config?.webhook_url ?? "",
    });
    formDialog(
      {
        title: t("webhook.dialog"),
        toast: this.toast,
        submit: async () => {
          this.config = (await api.changeProviderConfig(PROVIDER, { webhook_url: input.value.trim() })).config;
          this.showConfig();
          await this.loadPoller();
          return t("saved");
        },
      },
      el("p", { text: t("webhook.intro") }),
      field(t("webhook.url"), input, t("webhook.hint")),
    );
  }

  async testWebhook() {
    this.testButton.disabled = true;
    try {
      const { success, error, latency_ms } = await api.probeWebhook(PROVIDER, this.config?.webhook_url);
      if (success) this.toast(t("webhook.works", { ms: number(Math.round(latency_ms ?? 0)) }));
      else this.toast(t("webhook.fails", { why: clean(error) }), "bad");
    } catch (error) {
      this.toast(reasonOf(error), "bad");
    } finally {
      this.testButton.disabled = false;
    }
  }
}
