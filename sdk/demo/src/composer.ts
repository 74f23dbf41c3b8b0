// Where one writes: Enter sends, Shift+Enter makes a new line, and an input method's Enter is its own.

import { byId } from "./dom.js";

export interface ComposerEvents {
  send(text: string): void;
  typing(): void;
}

export class Composer {
  readonly #form = byId<HTMLFormElement>("composer");
  readonly #text = byId<HTMLTextAreaElement>("text");
  readonly #events: ComposerEvents;

  constructor(events: ComposerEvents) {
    this.#events = events;
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.#text.onkeydown = (event) => {
      // Safari ends a composition before its Enter arrives; 229 still tells.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#send();
    };
    this.#text.oninput = () => {
      if (this.#text.value.trim()) this.#events.typing();
    };
  }

  focus(): void {
    // On a touch screen the keyboard would cover the room before one has read it.
    if (matchMedia("(pointer: fine)").matches) this.#text.focus();
  }

  #send(): void {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = "";
    this.#events.send(text);
    this.#text.focus();
  }
}
