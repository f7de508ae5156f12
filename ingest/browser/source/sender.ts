// Sends what waits: in pieces that may outlive the page, one after the other, and again until the collector has it.

import { emit } from "./events";
import { later, listen, warn } from "./guard";
import { host, writeKey } from "./options";
import { type Item, items, remove, write } from "./queue";
import { get, put } from "./store";
import { moment } from "./text";

const SOON = 100; // milliseconds in which calls gather into one request
const BATCH = 100; // events
const PIECE = 60000; // bytes: browsers let 64 KB outlive a page
const AROUND = 300; // bytes of a body beside its events and its write key
const LONGEST_BACKOFF = 60000;
const LONGEST_RETRY_AFTER = 3600000;
const TIMEOUT = 30000;
const PAUSE = "pause." + writeKey;

let sending = 0;
let failures = 0;
let timer = 0;

/** How long to wait before a try. What the collector asked for, all tabs and the next page keep to. */
function pause(): number {
  const left = navigator.onLine === false ? LONGEST_BACKOFF : +get(PAUSE)! - Date.now();
  return left > LONGEST_RETRY_AFTER ? 0 : left;
}

function schedule(milliseconds: number): void {
  clearTimeout(timer);
  timer = later(next, milliseconds);
}

/** The first events that are not under way, as many as there is room for, but at least one. */
function take(room: number): Item[] {
  const taken: Item[] = [];
  for (const item of items) {
    room -= item.bytes;
    if (taken.length === BATCH || (room < 0 && taken[0])) break;
    if (item.busy) room += item.bytes;
    else taken.push(item);
  }
  return taken;
}

const size = (some: Item[]): number => some.reduce((sum, item) => sum + item.bytes, AROUND);

const body = (some: Item[]): string =>
  `{"writeKey":${JSON.stringify(writeKey)},"sentAt":"${moment()}","batch":[${some.map((item) => item.text)}]}`;

function mark(some: Item[], busy: boolean): void {
  for (const item of some) {
    item.busy = busy;
    item.tried ||= Date.now();
  }
}

/** Sends these, and goes on with the next, or tries again later. */
async function send(some: Item[]): Promise<void> {
  mark(some, true);
  write();
  sending++;
  let wait = 0;
  let done = false;
  try {
    // Plain text without further headers spares the browser's preflight.
    const answer = await fetch(host + "/v1/batch", {
      method: "POST",
      body: body(some),
      headers: { "Content-Type": "text/plain" },
      credentials: "omit",
      signal: AbortSignal.timeout?.(TIMEOUT),
      // Others use up the room for this too, so a second try goes without.
      keepalive: !failures && size(some) <= PIECE,
    });
    const { status } = answer;
    done = status < 500 && status !== 408 && status !== 429;
    if (done) settled(some, status);
    else wait = asked(answer.headers.get("Retry-After"));
    await answer.text(); // only then is there room for another one that may outlive the page
  } catch { /* offline, or the answer did not come */ }
  sending--;
  mark(some, false);
  if (done) return next();
  failures++;
  if (wait) put(PAUSE, String(Date.now() + wait));
  const backoff = Math.min(LONGEST_BACKOFF, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
  // A little later than asked, each browser by another little: so they do not all come back at once.
  schedule(Math.max(backoff, wait * (1 + Math.random() / 10)));
}

function settled(some: Item[], status: number): void {
  failures = 0;
  remove(some);
  const failed = status >= 300;
  if (failed) warn(some.length, "events refused", status);
  emit(failed ? "failed" : "sent", () => [some.map((item) => JSON.parse(item.text)), status]);
}

/** How long an answer asks to wait, in milliseconds: it says seconds, or a date. */
function asked(header: string | null): number {
  const wait = +header! >= 0 ? +header! * 1000 : Date.parse(header!) - Date.now();
  return Math.max(0, Math.min(wait || 0, LONGEST_RETRY_AFTER));
}

function next(): void {
  if (sending || !items[0]) return;
  const left = pause();
  if (left > 0) schedule(left);
  else send(take(PIECE - AROUND));
}

/** Sends what waits: soon, or now. */
export function flush(now?: boolean): void {
  if (now || !(sending || failures)) schedule(now ? 0 : SOON);
}

/** The page may end: everything that may outlive it goes now, all at once. */
export function handOver(): void {
  let room = PIECE;
  for (const item of items) if (item.busy) room -= item.bytes;
  while (!failures && pause() <= 0) {
    const some = take(room - AROUND);
    room -= size(some);
    if (!some[0] || room < 0) break;
    send(some);
  }
}

listen(window, "online", () => {
  failures = 0;
  schedule(0);
});
