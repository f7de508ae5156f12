// Who listens to what happens here.

import { guard, warn } from "./guard";
import { option } from "./options";

type Listener = (...values: any[]) => unknown;

const listeners: Record<string, Listener[]> = {};
const debug = option("debug") === "true";

/** Calls the listener whenever something of that name happens. */
export function on(name: string, listener: Listener): void {
  (listeners[name] ||= []).push(guard(listener));
}

/** Tells who listens; `values` are only made if somebody does. False if a listener answered false. */
export function emit(name: string, values: () => unknown[]): boolean {
  const heard = listeners[name] || [];
  const told = heard[0] || debug ? values() : [];
  if (debug) warn(name, ...told);
  return !heard.filter((listener) => listener(...told) === false)[0];
}
