// The little of the DOM that the page needs. Text only ever becomes text: nothing here takes HTML.

/** The element of this id, which index.html has. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return found as E;
}

export function element<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  className = "",
  ...children: (Node | string)[]
): HTMLElementTagNameMap[T] {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

export function button(text: string, act: () => void): HTMLButtonElement {
  const made = element("button", "", text);
  made.type = "button";
  made.onclick = act;
  return made;
}

/** A round picture of a user: initials on a colour that is theirs everywhere. */
export function avatar(user: string): HTMLElement {
  const words = user.trim().split(/\s+/);
  const initials = words.length > 1 ? words.slice(0, 2).map(firstLetter).join("") : firstLetter(user);
  const made = element("span", "avatar", initials.toUpperCase());
  made.ariaHidden = "true";
  made.style.setProperty("--hue", String(hueOf(user)));
  return made;
}

function firstLetter(word: string): string {
  return [...word.trim()][0] ?? "?";
}

function hueOf(user: string): number {
  let hash = 7;
  for (const letter of user) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  // A golden-ratio step keeps names that differ little apart in colour.
  return Math.round((hash * 137.5) % 360);
}
