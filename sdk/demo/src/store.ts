// What the page remembers: this tab's name or token, the last name used, and the rooms visited.

const ROOMS_MAX = 12;

export const store = {
  /** This tab's: another tab may be another person. */
  get name(): string | undefined {
    return read(sessionStorage, "name");
  },
  set name(name: string | undefined) {
    write(sessionStorage, "name", name);
    if (name !== undefined) write(localStorage, "name", name);
  },
  get lastName(): string {
    return read(localStorage, "name") ?? "";
  },
  get token(): string | undefined {
    return read(sessionStorage, "token");
  },
  set token(token: string | undefined) {
    write(sessionStorage, "token", token);
  },
  /** Newest first. */
  get channels(): string[] {
    return (read(localStorage, "rooms") ?? "").split("&").filter(Boolean);
  },
  visit(channel: string): void {
    const others = this.channels.filter((each) => each !== channel);
    write(localStorage, "rooms", [...others, channel].slice(-ROOMS_MAX).join("&"));
  },
};

// Storage may be forbidden; the page then simply forgets.
function read(storage: Storage, key: string): string | undefined {
  try {
    return storage.getItem(`parlor.${key}`) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(storage: Storage, key: string, value: string | undefined): void {
  try {
    if (value === undefined) storage.removeItem(`parlor.${key}`);
    else storage.setItem(`parlor.${key}`, value);
  } catch {
    return;
  }
}
