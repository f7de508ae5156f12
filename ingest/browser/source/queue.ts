// What waits to be sent. Each page keeps its own list in local storage, under a name of its own, so that two tabs never
// overwrite each other; the list of a page that has gone is taken over by the next one. A page says until when its list is
// its own; so a crash delays what it had not sent, and loses nothing. Web locks would tell sooner, but keep a page from the
// browser's back/forward cache, and are only there on https.
//
// An event leaves the list when the collector has said that it is durable, not before. What a closing page could hand over
// without hearing an answer is therefore sent again: its messageId makes the repeat harmless.

import { later } from "./guard";
import { writeKey } from "./options";
import { get, names, put } from "./store";
import { DAY, unique } from "./text";

const LEASE = 120000; // milliseconds for which a page's list is its own
const MOST = 1000; // events; the oldest go first
const MOST_CHARS = 1000000; // of some 5 million that a site may keep
// The collector knows a messageId again for a week: what was tried once is not tried again after that.
const REPEATABLE = 6 * DAY;
const PREFIX = `queue.${writeKey}.`;
const OWN = PREFIX + unique();

export interface Item {
  text: string;
  bytes: number;
  /** When it was sent first, in milliseconds; 0 before that. */
  tried: number;
  /** Whether it is under way. */
  busy?: boolean;
}

export let items: Item[] = [];
let due = false;
let gone = false;
let renewal = 0;

const item = (text: string, tried: number): Item => ({ text, tried, bytes: new Blob([text]).size + 1 });

/** Puts an event, as JSON, at the end. */
export function add(text: string): void {
  items.push(item(text, 0));
  bound();
  soon();
}

export function remove(gone: Item[]): void {
  items = items.filter((one) => !gone.includes(one));
  soon();
}

export function clear(): void {
  items = [];
}

/** Writes the list down. Once the page has gone, the list belongs to whoever comes next. */
export function write(): void {
  due = false;
  clearTimeout(renewal);
  const lines = items.map((one) => one.tried + " " + one.text);
  put(OWN, lines[0] ? [gone ? 0 : Date.now() + LEASE, ...lines].join("\n") : null);
  if (lines[0] && !gone) renewal = later(write, LEASE / 2);
}

/** Takes over what pages before left behind, now and when a lease has run out; calls `found` if there is something. */
export function adopt(found: () => void): void {
  const now = Date.now();
  let next = 0;
  for (const name of names(PREFIX)) {
    const [until, ...lines] = (get(name) || "").split("\n");
    if (name === OWN) continue;
    if (+until > now && +until <= now + LEASE) {
      next = LEASE;
      continue;
    }
    const left = lines.map((line) => item(line.slice(line.indexOf(" ") + 1), parseInt(line)));
    items = [...left.filter((one) => !one.tried || now - one.tried < REPEATABLE), ...items];
    bound();
    write();
    put(name, null);
  }
  if (next) later(() => adopt(found), next);
  if (items[0]) found();
}

/** The page goes, as far as it knows. */
export function leave(): void {
  gone = true;
  write();
}

/** A page that comes back from the back/forward cache gives up what was taken over from it. */
export function reclaim(): void {
  gone = false;
  if (get(OWN) === null) clear();
  write();
}

/** Writes once for all that is added in one go. */
function soon(): void {
  if (!due) queueMicrotask(write);
  due = true;
}

function bound(): void {
  let start = items.length;
  let chars = 0;
  while (start && items.length - start < MOST && (chars += items[start - 1].text.length) <= MOST_CHARS) start--;
  if (start) items = items.slice(start);
}
