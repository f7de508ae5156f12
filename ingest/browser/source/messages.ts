// Messages: made of a call, and held back in memory while something must be known first (what the visitor allows, which id
// the collector knows).

import * as consent from "./consent";
import { emit } from "./events";
import * as identity from "./identity";
import { host, serverId, writeKey } from "./options";
import { browserContext, pageProperties } from "./page";
import * as queue from "./queue";
import * as sender from "./sender";
import * as store from "./store";
import { DAY, type Fields, json, moment, unique } from "./text";
import { campaignOf, noteTouch, touchContext, withoutClicks } from "./touch";

/** Calls that say who somebody is. */
const NAMING = /identify|alias|group/;
const MOST = 1000; // messages that wait
const PATIENCE = 2000; // milliseconds

let waiting: Fields[] = [];
let idUnknown = false;

/** A message; what `given` says (a call's options) comes last. */
export function message(type: string, fields: Fields, given?: Fields): Fields {
  return {
    type,
    messageId: unique(),
    timestamp: moment(),
    anonymousId: identity.anonymousId(),
    userId: identity.userId(),
    ...fields,
    ...given,
    context: {
      page: pageProperties(),
      ...browserContext(),
      campaign: campaignOf(location.search),
      groupId: identity.groupId(),
      ...given?.context,
    },
  };
}

/** Sends a message, as soon as it may be. */
export function post(fields: Fields): void {
  if (!emit("message", () => [fields])) return;
  // A copy: the page may go on with its objects.
  waiting = [...waiting, JSON.parse(json(fields))].slice(-MOST);
  release();
}

/** Sends what waits, as far as it may go now. */
function release(): void {
  const now = consent.mode();
  if (idUnknown || now === "wait") return;
  const held = (one: Fields): boolean => now !== "granted" && NAMING.test(one.type);
  const going = waiting.filter((one) => !held(one));
  waiting = consent.decision === undefined ? waiting.filter(held) : [];
  if (now === "anonymous") {
    for (const one of going) {
      one.userId = null;
      one.context = { ...one.context, groupId: undefined, traits: undefined, identity: undefined };
    }
  }
  if (now !== "denied") going.forEach(enqueue);
  sender.flush();
}

function enqueue(one: Fields): void {
  const text = json({ ...one, context: { ...consent.consentContext(), ...touchContext(), ...one.context } });
  queue.add(consent.mayAdvertise() ? text : withoutClicks(text));
}

/** Acts on what is allowed now. */
export function settle(): void {
  const may = consent.mode() === "granted";
  if (may && store.keep()) {
    // The page's own id gives way to the one of an earlier visit.
    for (const one of waiting) one.anonymousId = identity.anonymousId();
    queue.adopt(() => sender.flush(true));
    if (serverId) askId();
  }
  if (!may && consent.decision !== undefined) {
    store.forget();
  }
  noteTouch();
  release();
}

/** Notes what the visitor allows; not `told` if another tab did. */
export function allow(given: unknown, told: boolean): void {
  if (json(given) === json(consent.decision)) return;
  const known = consent.mode() === "granted";
  consent.decided(given);
  if (told) store.save("consent", given);
  const news = message("identify", { traits: consent.consentTrait() });
  const refused = consent.mode() !== "granted";
  if (refused) queue.clear();
  // A profile that is known must hear of a refusal too, and by its name: this is the last that bears it.
  if (told && known && refused && emit("message", () => [news])) enqueue(news);
  settle();
  if (told && !refused) post(news);
}

/** What is allowed. */
export function state(): Fields {
  return { mode: consent.mode(), advertising: consent.mayAdvertise(), gpc: consent.gpc, decision: consent.decision };
}

// The collector may keep an id in a cookie of its own, where its source allows that: it outlives what browsers let scripts
// keep, and is the same on every subdomain.

/** Tells the collector this browser's id, and takes the one that it knows already; with `renew` it takes this one. */
export async function askId(renew?: boolean): Promise<void> {
  if (!serverId || consent.mode() !== "granted") return;
  if (!renew && Date.now() - store.load("asked") < DAY && store.load("anonymousId")) return;
  const own = identity.anonymousId();
  idUnknown = true;
  try {
    const answer = await fetch(`${host}/v1/id?writeKey=${encodeURIComponent(writeKey)}`, {
      method: "POST",
      body: json({ anonymousId: own, renew }),
      headers: { "Content-Type": "text/plain" },
      credentials: "include",
      signal: AbortSignal.timeout?.(PATIENCE),
    });
    const { anonymousId } = await answer.json();
    // Somebody may have signed out, or said no, in the meantime.
    if (anonymousId && identity.anonymousId() === own) {
      identity.rename(anonymousId);
      store.save("asked", Date.now());
      for (const one of waiting) if (one.anonymousId === own) one.anonymousId = anonymousId;
    }
  } catch { /* the browser's own id does */ }
  idKnown();
}

/** What waited for the id alone goes. */
export function idKnown(): void {
  idUnknown = false;
  release();
}
