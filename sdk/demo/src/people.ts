// Who is here.

import type { Roster } from "../../typescript/src/index.js";
import { avatar, byId, element } from "./dom.js";

const SHOWN_MAX = 200;

export class People {
  readonly #list = byId("people");
  readonly #count = byId("people-count");

  draw(roster: Roster, me: string): void {
    const users = roster.members.map(({ user }) => user);
    const shown = Math.min(users.length, SHOWN_MAX);
    users.sort((a, b) => Number(b === me) - Number(a === me) || a.localeCompare(b));
    this.#count.textContent = `${roster.users} here`;
    this.#list.replaceChildren(...users.slice(0, shown).map((user) => personItem(user, me)));
    if (roster.users > shown) this.#list.append(element("li", "note", `and ${roster.users - shown} more`));
    if (roster.isStale) this.#list.append(element("li", "note", "some came or went since"));
  }

  clear(): void {
    this.#count.textContent = "";
    this.#list.replaceChildren();
  }
}

function personItem(user: string, me: string): HTMLElement {
  const item = element("li", "", avatar(user), element("span", "", user));
  if (user === me) item.append(element("span", "note", "you"));
  return item;
}
