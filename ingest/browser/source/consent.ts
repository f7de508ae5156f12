// What the visitor allows: by the page's own word, by what a consent platform tells Google, and by the browser's word.

import { guard } from "./guard";
import { option } from "./options";
import { load } from "./store";
import type { Fields } from "./text";

type Answers = Record<string, boolean>;
/** What may be done: everything, wait with everything, send without knowing whose it is, nothing. */
export type Mode = "granted" | "wait" | "anonymous" | "denied";

const ANALYTICS = /analytic|statistic|performance|measur/i;
const ADVERTISING = /advert|market|target|sale|^ad_/i;

/** What the visitor said, as it was given; undefined until then. */
export let decision: any = load("consent");
/** Global Privacy Control: whatever is said elsewhere, this browser's person does not want to be sold. */
export const gpc = option("gpc") !== "ignore" && !!(navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl;

export function decided(given: any): void {
  decision = given;
}

/** The answer to each category that was asked for. What is not said is not allowed.
 *
 * true · "granted" · {Analytics: true} · {categoryPreferences: {…}} (Segment) · {allowedConsentIds, deniedConsentIds}
 * (RudderStack) · {analytics_storage: "granted", …} (Google).
 */
export function categories(): Answers {
  const yes = (answer: unknown): boolean => answer === true || answer === "granted";
  if (!decision || typeof decision !== "object") return { Analytics: yes(decision), Advertising: yes(decision) };
  const found: Answers = {};
  for (const id of decision.deniedConsentIds || []) found[id] = false;
  for (const id of decision.allowedConsentIds || []) found[id] = true;
  const plain = decision.categoryPreferences || decision;
  if (!rudder()) for (const name in plain) found[name] = yes(plain[name]);
  return found;
}

const rudder = (): boolean => !!(decision?.allowedConsentIds || decision?.deniedConsentIds);

function allows(named: string, known: RegExp): boolean {
  const answers = categories();
  const asked = Object.keys(answers).filter((name) => (named ? name === named : known.test(name)));
  return asked.length > 0 && asked.every((name) => answers[name]);
}

/** Whether this script may know the visitor again, as the visitor said. */
export const analytics = (): boolean => allows(option("consentAnalytics"), ANALYTICS);
const advertising = (): boolean => allows(option("consentAdvertising"), ADVERTISING);

/** What may be done now. A word that is not known is no permission. */
export function mode(): Mode {
  const refused = option("denied") === "anonymous" ? "anonymous" : "denied";
  if (decision !== undefined) return analytics() ? "granted" : refused;
  if (gpc && option("gpc") === "all") return refused;
  const until = option("consent") || "granted";
  return (/^(granted|anonymous|denied)$/.test(until) ? until : "wait") as Mode;
}

/** Whether what ad platforms leave may be sent; with `later`, whether it may yet become so. */
export function mayAdvertise(later?: boolean): boolean {
  return !gpc && (decision === undefined ? later || mode() === "granted" : advertising());
}

/** What an event says of consent: nothing while nobody has said anything. */
export function consentContext(): Fields {
  if (decision === undefined && !gpc) return {};
  const answers = decision === undefined ? {} : categories();
  if (gpc) for (const name of ["Advertising", ...Object.keys(answers)]) if (ADVERTISING.test(name)) answers[name] = false;
  const google = decision?.analytics_storage && decision;
  return {
    consent: { categoryPreferences: answers, ...(gpc && { gpc }), ...(google && { google }) },
    ...(rudder() && { consentManagement: decision }),
  };
}

/** What a profile is told of consent, as a trait: each purpose by its name in lower case. */
export function consentTrait(): Fields {
  if (decision === undefined) return {};
  const consent: Answers = {};
  const answers = categories();
  for (const name in answers) consent[name.toLowerCase()] = answers[name];
  return { consent: { ...consent, analytics: analytics(), advertising: mayAdvertise() } };
}

/** Follows Google's consent mode: `gtag("consent", "default" | "update", {…})` puts its words into `dataLayer`.
 *
 * An update is the visitor's word; a default is none, it only completes one. Of words for some regions only the refusals
 * count, because a page does not know where it is read.
 */
export function followGoogle(changed: (state: Fields) => void): void {
  const page = window as unknown as { dataLayer?: any[] };
  const layer = (page.dataLayer ||= []);
  const state: Fields = {};
  const take = guard((entries: any[]): void => {
    let updated = false;
    for (const [, kind, said] of entries.filter((entry) => entry?.[0] === "consent")) {
      for (const name in said) {
        if (/^(granted|denied)$/.test(said[name]) && (!said.region || said[name] === "denied")) state[name] = said[name];
      }
      updated ||= kind === "update";
    }
    if (updated) changed({ ...state });
  });
  const push = layer.push;
  layer.push = (...entries) => {
    const length = push.apply(layer, entries);
    take(entries);
    return length;
  };
  take(layer);
}
