// What is remembered: in memory as long as nothing may be kept, then in local storage and, where the page allows them,
// cookies. Storage that the browser forbids, or that is full, is no error: then memory does, as long as the page lives.

import { cookie, setCookie } from "./cookies";
import { option } from "./options";
import { json } from "./text";

const PREFIX = "cdp.";
/** What subdomains share, where cookies are allowed. */
const SHARED = ["anonymousId", "userId", "consent"];
/** What may be kept before anything else may: that somebody said no. */
const DECISION = "consent";

const memory: Record<string, string | null> = {};
let lasting = false;

/** The text under a name; null for none. */
export function get(name: string): string | null {
  if (name in memory || !(lasting || name === DECISION)) return memory[name] ?? null;
  return lasted(name);
}

/** Puts a text under a name; null takes it away. */
export function put(name: string, text: string | null): void {
  memory[name] = text;
  if ((lasting || name === DECISION) && kept(name, text)) delete memory[name];
}

/** The names that begin so. */
export function names(start: string): string[] {
  try {
    const found = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX + start));
    return found.map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}

/** The value under a name; undefined for none. */
export function load(name: string): any {
  try {
    return JSON.parse(get(name)!) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Puts a value under a name; undefined takes it away. */
export function save(name: string, value?: unknown): void {
  put(name, value === undefined ? null : json(value));
}

/** From now on, remember beyond this page, with what is in memory; tells whether that is new. */
export function keep(): boolean {
  if (lasting) return false;
  lasting = true;
  // What an earlier visit left wins over what this page made up.
  for (const name of ["anonymousId", "touch"]) if (lasted(name)) delete memory[name];
  for (const name in memory) put(name, memory[name]);
  return true;
}

/** Forgets everything but the decision, and from now on remembers in memory alone. */
export function forget(): void {
  for (const name of [...SHARED, ...names("")]) {
    if (name !== DECISION) kept(name, null);
  }
  for (const name in memory) delete memory[name];
  lasting = false;
}

function lasted(name: string): string | null {
  try {
    return (shares(name) && cookie(PREFIX + name)) || localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

function kept(name: string, text: string | null): boolean {
  const shared = shares(name) && setCookie(PREFIX + name, text);
  try {
    // One truth: what a cookie holds is not in local storage too, where another subdomain's changes are not seen.
    if (text === null || shared) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, text);
    return true;
  } catch {
    return shared;
  }
}

function shares(name: string): boolean {
  return option("cookies") === "true" && SHARED.includes(name);
}
