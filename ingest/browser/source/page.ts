// The page that is seen, and the browser that shows it.

import { version } from "../package.json";
import { guard, later, listen } from "./guard";
import { spa } from "./options";
import type { Fields } from "./text";

const TITLED = 50; // milliseconds after a route has changed in which the page may set its title

let referrer = document.referrer;
let here = location.href;
let seen = route();
let timer = 0;

/** What makes the page another one. */
function route(): string {
  const { pathname, search, hash } = location;
  return pathname + (spa === "path" ? "" : search) + (spa === "hash" ? hash : "");
}

/** An address as it is told: what stands behind # may be a secret, and is told only where it makes the page. */
const told = (address: string): string => (spa === "hash" ? address : address.split("#")[0]);

/** Segment's properties of a page. */
export function pageProperties(): Fields {
  const { pathname, search, href } = location;
  return { url: told(href), path: pathname, search, title: document.title, referrer };
}

/** The part of an event's context that says what it was seen with. */
export function browserContext(): Fields {
  return {
    userAgent: navigator.userAgent,
    userAgentData: (navigator as { userAgentData?: unknown }).userAgentData,
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    screen: { width: screen.width, height: screen.height, density: devicePixelRatio },
    library: { name: "cdp.js", version },
  };
}

/** Calls `opened` when the page's own script has changed the route. */
export function watchRoutes(opened: () => void): void {
  const changed = guard((): void => {
    const before = here;
    here = location.href;
    if (seen === (seen = route())) return;
    if (!timer) referrer = told(before); // a route that led on at once was no page
    isTold();
    timer = later(opened, TITLED);
  });
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (...given) {
      original.apply(this, given);
      changed();
    };
  }
  listen(window, "popstate", changed);
  listen(window, "hashchange", changed);
}

/** The page has told of its route itself. */
export function isTold(): void {
  clearTimeout(timer);
  timer = 0;
}
