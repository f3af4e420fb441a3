// What keeps the page true: each provider's token and webhook, the poller, and the dialogs that set them.

/** @import { PollingStatus, Provider, ProviderConfig, Toast } from "./types.d.ts" */

import * as api from "./api.js";
import { clean, el, link, setAttribute, setChildren, setText } from "./dom.js";
import { field, formDialog } from "./form.js";
import { ago, duration, exact, listed, number, reasonOf, t } from "./i18n.js";
import { ofProvider, providerName, providerOf, sayButton } from "./providers.js";

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

/** @typedef {{ toast: Toast, onProvider: () => void }} Hooks `onProvider()` after a token has changed */

/** A provider's account: who it is connected as, and the token that does it. */
export class Account {
  /**
   * @param {Provider} provider
   * @param {Hooks} hooks
   */
  constructor(provider, { toast, onProvider }) {
    this.provider = provider;
    this.toast = toast;
    this.onProvider = onProvider;
    /** @type {boolean | null} */
    this.isConnected = null;
    this.button = button(() => this.edit());
    this.line = new Line("provider", this.button);
  }

  get hasToken() {
    return this.provider.configured;
  }

  get act() {
    return t(this.hasToken || this.isConnected ? "provider.change" : "provider.add");
  }

  /** Why it cannot be read, or who it is connected as. */
  get state() {
    return this.line.text.textContent;
  }

  say() {
    setText(this.line.label, this.provider.name);
    sayButton(this.button, this.act, this.provider);
  }

  async load() {
    try {
      const found = await api.validateProvider(this.provider.id);
      this.isConnected = found.valid;
      if (found.valid) this.line.say("good", t("provider.valid", { user: clean(found.username) }));
      else this.line.say("bad", found.error);
    } catch (error) {
      this.line.say("unknown", reasonOf(error));
    }
    this.say();
    this.button.hidden = false;
  }

  edit() {
    const { id, name, token_url } = this.provider;
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
        title: t("provider.dialog", { provider: name }),
        toast: this.toast,
        further: this.isConnected ? forget : null,
        submit: async () => {
          const kept = await api.keepToken(id, input.value);
          await this.load();
          this.onProvider();
          return kept.error ?? t("provider.kept", { where: clean(kept.file_path) });
        },
      },
      el("p", {}, t("provider.intro", { provider: name }), " ", link(token_url, token_url)),
      field(t("provider.token"), input),
    );
    forget.addEventListener("click", async () => {
      if (forget.textContent !== t("provider.forgetSure")) {
        setText(forget, t("provider.forgetSure"));
        return;
      }
      await this.forget();
      shown.close();
      await this.load();
      this.onProvider();
    });
  }

  async forget() {
    try {
      const { success, error } = await api.forgetToken(this.provider.id);
      this.toast(success ? t("provider.forgotten") : clean(error), success ? "good" : "bad");
    } catch (error) {
      this.toast(reasonOf(error), "bad");
    }
  }
}

/** The address at which a provider tells what changes. */
class Webhook {
  /**
   * @param {Provider} provider
   * @param {{ toast: Toast, onRead: () => void, onChanged: () => Promise<void> }} hooks
   */
  constructor(provider, { toast, onRead, onChanged }) {
    this.provider = provider;
    this.toast = toast;
    this.onRead = onRead;
    this.onChanged = onChanged;
    /** @type {ProviderConfig | null} */
    this.config = null;
    this.isPolled = true;
    this.urlButton = button(() => this.edit());
    this.testButton = button(() => this.test());
    this.line = new Line("webhook", this.urlButton, this.testButton);
  }

  say() {
    setText(this.line.label, ofProvider(t("webhook"), this.provider));
    sayButton(this.testButton, t("webhook.test"), this.provider);
    if (!this.config) return;
    const url = this.config.webhook_url;
    if (url) this.line.say("good", url);
    else this.line.say("off", t(this.isPolled ? "webhook.off" : "webhook.none"));
    setAttribute(this.line.text, "title", url || null);
    sayButton(this.urlButton, url ? t("change") : t("webhook.set"), this.provider);
    this.urlButton.hidden = false;
    this.testButton.hidden = !url;
  }

  async load() {
    try {
      this.config = (await api.readProviderConfig(this.provider.id)).config;
      this.say();
      this.onRead();
    } catch (error) {
      this.line.say("unknown", reasonOf(error));
    }
  }

  edit() {
    const { id, name } = this.provider;
    const path = `/api/webhooks/${id}`;
    const input = el("input", {
      type: "url",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 300,
      placeholder: `https://…${path}`,
      value: this.config?.webhook_url ?? "",
    });
    formDialog(
      {
        title: ofProvider(t("webhook.dialog"), this.provider),
        toast: this.toast,
        submit: async () => {
          this.config = (await api.changeProviderConfig(id, { webhook_url: input.value.trim() })).config;
          this.say();
          await this.onChanged();
          return t("saved");
        },
      },
      el("p", { text: t("webhook.intro", { provider: name }) }),
      field(t("webhook.url"), input, t("webhook.hint", { path })),
    );
  }

  async test() {
    this.testButton.disabled = true;
    try {
      const { success, error, latency_ms } = await api.probeWebhook(this.provider.id, this.config?.webhook_url);
      if (success) this.toast(t("webhook.works", { ms: number(Math.round(latency_ms ?? 0)) }));
      else this.toast(t("webhook.fails", { why: clean(error) }), "bad");
    } catch (error) {
      this.toast(reasonOf(error), "bad");
    } finally {
      this.testButton.disabled = false;
    }
  }
}

export class Service {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {Account[]} */
    this.accounts = [];
    /** @type {Webhook[]} */
    this.webhooks = [];
    /** @type {PollingStatus | null} */
    this.polling = null;
    this.unread = new Line("provider");
    this.poller = new Line("poller");
    this.node = el("ul", { class: "states" }, this.unread.node, this.poller.node);
    this.say();
  }

  /** What does not depend on any answer. */
  say() {
    setText(this.unread.label, t("filter.provider"));
    setText(this.poller.label, t("poller"));
    for (const part of [...this.accounts, ...this.webhooks]) part.say();
  }

  /** What could not be read, or was not well when it was read. */
  async loadMissing() {
    await Promise.all([
      ...this.accounts.filter((account) => account.isConnected !== true).map((account) => account.load()),
      ...this.webhooks.filter((webhook) => webhook.config === null).map((webhook) => webhook.load()),
    ]);
  }

  /**
   * Nothing is known of the providers yet.
   *
   * @param {string} why
   */
  missProviders(why) {
    this.unread.say("unknown", why);
  }

  /**
   * Those that are new are asked for, each by itself.
   *
   * @param {Provider[]} providers
   */
  async takeProviders(providers) {
    const [accounts, webhooks] = [this.accounts, this.webhooks];
    this.accounts = providers.map(
      (provider) =>
        accounts.find((account) => account.provider.id === provider.id) ?? new Account(provider, this.hooks),
    );
    this.webhooks = providers
      .filter((provider) => provider.has_webhooks)
      .map((provider) => webhooks.find((webhook) => webhook.provider.id === provider.id) ?? this.webhookOf(provider));
    const parts = [...this.accounts, ...this.webhooks];
    for (const part of parts) part.provider = providers.find(({ id }) => id === part.provider.id) ?? part.provider;
    setChildren(this.node, [
      ...this.accounts.map((account) => account.line.node),
      this.poller.node,
      ...this.webhooks.map((webhook) => webhook.line.node),
    ]);
    this.say();
    this.showPoller();
    const before = new Set([...accounts, ...webhooks]);
    await Promise.all(parts.filter((part) => !before.has(part)).map((part) => part.load()));
  }

  /** @param {Provider} provider */
  webhookOf(provider) {
    return new Webhook(provider, {
      toast: this.hooks.toast,
      onRead: () => this.showPoller(),
      onChanged: () => this.loadPoller(),
    });
  }

  async loadPoller() {
    try {
      this.polling = await api.readPolling();
      this.showPoller();
    } catch (error) {
      if (!this.polling) this.poller.say("unknown", reasonOf(error));
    }
  }

  /** Poller and webhooks stand in for each other, so each is told by the other's state, too. */
  showPoller() {
    const { polling } = this;
    if (!polling) return;
    const { is_active, last_tick_at, reason, effective_interval_seconds } = polling;
    const [fault] = polling.last_errors;
    const last = last_tick_at ? t("poller.last", { ago: ago(last_tick_at) }) : t("poller.never");
    const every = t("poller.on", { every: duration(effective_interval_seconds) });
    const unheard = this.unheardOf(polling);
    if (is_active && fault) this.poller.say("bad", t("poller.fault", { why: clean(fault.message) }));
    else if (unheard) this.poller.say("warn", unheard);
    else if (!is_active) this.poller.say("off", t("poller.off"));
    else this.poller.say("good", t("sentences", { first: every, second: last }));
    const exactly = last_tick_at ? t("poller.last", { ago: exact(last_tick_at) }) : last;
    setAttribute(this.poller.text, "title", [reason, exactly].filter(Boolean).join(" · "));
    for (const webhook of this.webhooks) {
      webhook.isPolled = polling.providers.some((one) => one.provider === webhook.provider.id && one.is_active);
      webhook.say();
    }
  }

  /**
   * That some are neither polled nor tell by a webhook; empty where none are.
   *
   * @param {PollingStatus} polling
   */
  unheardOf({ providers }) {
    const used = providers.filter((one) => providerOf(one.provider)?.configured);
    const asked = used.length ? used : providers;
    const unheard = asked.filter(
      ({ provider, is_active }) =>
        !is_active && !this.webhooks.find((webhook) => webhook.provider.id === provider)?.config?.webhook_url,
    );
    if (!unheard.length) return "";
    if (unheard.length === asked.length) return t("poller.offAll");
    return t("poller.offFor", { providers: listed(unheard.map((one) => providerName(one.provider))) });
  }

  /** After the language has changed. */
  async renew() {
    this.say();
    await Promise.all([this.loadPoller(), ...[...this.accounts, ...this.webhooks].map((part) => part.load())]);
  }
}
