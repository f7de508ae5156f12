// cdp.js: sends what happens on a web page to a streamcdp collector. docs/how-to/website.md says how to use it.

import { version } from "../package.json";
import { calls } from "./calls";
import { followGoogle } from "./consent";
import { emit } from "./events";
import { guard, later, listen } from "./guard";
import { allow, idKnown, settle } from "./messages";
import { option, spa, writeKey } from "./options";
import { watchRoutes } from "./page";
import { leave, reclaim } from "./queue";
import { flush, handOver } from "./sender";
import { load } from "./store";

type Call = [name: string, ...given: any[]];

/** Calls that decide what becomes of all others: they go first, in whatever order the page made them. */
const FIRST = /^(consent|on)$/;

const start = guard(() => {
  const page = window as any;
  const name = option("global") || "cdp";
  // The page may hold on to its stub: so that becomes the real thing, and no other object takes its place.
  if (page[name]?.version) return; // the script stands twice in the page
  const api: any = Array.isArray(page[name]) ? page[name] : (page[name] = []);
  const early: Call[] = api.splice(0);

  const call = guard(([name, ...given]: Call) => api[name](...given));
  for (const [name, work] of Object.entries<(...given: any[]) => any>(calls)) {
    api[name] = guard((...given: any[]) => {
      const done = name !== "on" && typeof given[given.length - 1] === "function" && given.pop();
      const answer = work(...given);
      if (given[0] !== undefined || !/consent/.test(name)) emit(name, () => given);
      if (done) later(done);
      return answer;
    });
  }
  api.version = version;
  api.push = (...more: Call[]) => more.forEach(call);
  api.ready = (work: () => void) => void later(work);

  early.filter((one) => FIRST.test(one?.[0])).forEach(call);
  if (option("consentGoogle") === "true") followGoogle(api.consent);
  settle();
  const rest = early.filter((one) => !FIRST.test(one?.[0]));
  const byItself = option("autoPage") !== "false";
  if (byItself && !rest.some((one) => one?.[0] === "page")) api.page();
  rest.forEach(call);
  if (byItself && spa !== "off") watchRoutes(() => api.page());

  const end = (): void => {
    idKnown();
    handOver();
  };
  listen(window, "pagehide", () => {
    end();
    leave();
  });
  listen(document, "visibilitychange", () => document.hidden && end());
  listen(window, "pageshow", (event) => {
    if (!event.persisted) return;
    reclaim();
    if (byItself) api.page();
    flush();
  });
  // Another tab was told what the visitor allows.
  listen(window, "storage", (event) => event.key === "cdp.consent" && event.newValue && allow(load("consent"), false));
});

if (writeKey) {
  // A page that was loaded ahead is one only when somebody sees it.
  if ((document as { prerendering?: boolean }).prerendering) listen(document, "prerenderingchange", start);
  else start();
}
