// Who the visitor is: a name for the browser, and what the page told of the person who uses it.

import { load, save } from "./store";
import { type Fields, unique } from "./text";

/** What belongs to one anonymous id: another subdomain may have changed that id since. */
interface About {
  of: string;
  traits?: Fields;
  groupId?: string;
  groupTraits?: Fields;
}

/** The browser's id, made up at need; or from now on the given one. */
export function anonymousId(given?: unknown): string {
  let id = given || load("anonymousId");
  if (id !== String(id) || given) save("anonymousId", (id = id ? String(id) : unique()));
  return id;
}

export function userId(): string | null {
  return load("userId") || null;
}

export function about(): About {
  const of = anonymousId();
  const known: About | undefined = load("about");
  return known?.of === of ? known : { of };
}

export const traits = (): Fields => about().traits || {};
export const groupId = (): string | undefined => about().groupId;
export const groupTraits = (): Fields => about().groupTraits || {};

/** Remembers the person, and tells whether it is another one than before: that one gets a fresh anonymous id. */
export function become(id: string | null, more: Fields): boolean {
  const known = userId();
  const another = !!(id && known && id !== known);
  if (another) leave();
  if (id) save("userId", id);
  save("about", { ...about(), traits: { ...traits(), ...more } });
  return another;
}

/** Remembers the company that the person belongs to. */
export function join(id: string, more: Fields): void {
  save("about", { ...about(), groupId: id, groupTraits: { ...(groupId() === id && groupTraits()), ...more } });
}

/** Gives the same person another anonymous id. */
export function rename(id: string): void {
  const known = about();
  save("about", { ...known, of: anonymousId(id) });
}

/** Forgets the person. */
export function leave(): void {
  ["anonymousId", "userId", "about", "touch"].forEach((name) => save(name));
}
