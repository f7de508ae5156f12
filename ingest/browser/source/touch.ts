// What brought the visitor: campaign, click ids and referrer, of the first touch, of the last, and of this page.

import { mayAdvertise } from "./consent";
import { cookie } from "./cookies";
import { load, save } from "./store";
import { DAY, type Fields, filled, moment } from "./text";

/** Query parameters that ad platforms add to a click: Google, Meta, TikTok, Microsoft, LinkedIn, Zalo, X, Snapchat … */
const CLICKS = "gclid|gbraid|wbraid|dclid|fbclid|ttclid|msclkid|li_fat_id|zarsrc|twclid|sccid|epik|rdt_cid|yclid|irclickid";
const CLICK = new RegExp(`^(${CLICKS})$`);
const IN_QUERY = new RegExp(`([?&])(${CLICKS})=[^&#"\\\\]*&?`, "gi");
/** Cookies that pixels of ad platforms leave, by the names that platforms ask for them under. */
const PIXELS: Fields = { fbp: "_fbp", fbc: "_fbc", ttp: "_ttp", ttclid: "ttclid", epik: "_epik", li_fat_id: "li_fat_id", scid: "_scid" };
const LONGEST = 90 * DAY; // no platform counts an older click
const VISIT = DAY / 48; // after half an hour of silence a visit has ended
const MOST = 500; // characters of one value
/** The part of a host's name that a site owns, as near as can be said without a list of public suffixes. */
const SITE = /[^.]+\.((com?|net|org|edu|gov)\.)?[^.]+$/;

interface Known {
  first?: Fields;
  last?: Fields;
  /** Each click id with the moment it was seen first, in milliseconds. */
  clicks?: Record<string, [value: string, at: number]>;
  seen?: number;
}

const known = (): Known => load("touch") || {};

/** The query's parameters, by the names that `named` gives them. */
function parameters(query: string, named: (name: string) => string | undefined): Fields | undefined {
  const found: Fields = {};
  new URLSearchParams(query).forEach((value, name) => {
    const as = named(name.toLowerCase());
    if (as && value) found[as] ||= value.slice(0, MOST);
  });
  return filled(found);
}

/** `utm_campaign` is Segment's `name`; other parameters keep theirs. */
export const campaignOf = (query: string): Fields | undefined =>
  parameters(query, (name) => (name === "utm_campaign" ? "name" : name.startsWith("utm_") ? name.slice(4) : undefined));

const clicksOf = (query: string): Fields | undefined =>
  parameters(query, (name) => (CLICK.test(name) ? name : undefined));

/** A message without the click ids that stand in its addresses. */
export const withoutClicks = (text: string): string => text.replace(IN_QUERY, "$1");

/** An address without its query; of another site, if one is named. */
function place(address: string, but?: string): string | undefined {
  if (!/^https?:/.test(address)) return undefined;
  const { origin, hostname, pathname } = new URL(address);
  const own = but && SITE.exec(but)?.[0] === SITE.exec(hostname)?.[0];
  return own ? undefined : (origin + pathname).slice(0, MOST);
}

let opened = performance.getEntriesByType("navigation")[0]?.name;
let noted = "";

/** Notes what brought the visitor here. First the address that was opened counts, whatever the page has made of it since,
 * and the referrer; after that, where the page itself led to. */
export function noteTouch(): void {
  const address = opened?.startsWith(location.origin) ? opened : location.href;
  const from = noted ? undefined : place(document.referrer, location.hostname);
  const again = address === noted;
  opened = "";
  noted = address;
  const may = mayAdvertise(true);
  const { first, last, clicks = {}, seen = 0 } = known();
  const now = Date.now();
  const query = new URL(address).search;
  const campaign = campaignOf(query);
  const found = may ? clicksOf(query) : undefined;
  const touch = { at: moment(), page: place(address), referrer: from, campaign, click_ids: found };
  for (const name in found) if (clicks[name]?.[0] !== found[name]) clicks[name] = [found[name], now];
  for (const name in clicks) if (now - clicks[name][1] > LONGEST) delete clicks[name];
  // Coming back from a bank's page in the middle of a visit is no new touch.
  const arrives = !first || (!again && (campaign || found || (from && now - seen > VISIT)));
  save("touch", { first: told(first || touch, may), last: told(arrives ? touch : last, may), clicks: may ? clicks : {}, seen: now });
}

/** The part of an event's context that says what brought the visitor, as far as that may be told now. */
export function touchContext(): Fields {
  const { first, last, clicks } = known();
  const may = mayAdvertise();
  const ids: Fields = {};
  if (may) {
    for (const name in PIXELS) {
      const value = cookie(PIXELS[name]);
      if (value) ids[name] = value;
    }
    for (const name in clicks) ids[name] = clicks[name][0];
    // What Meta's pixel makes of a click, where there is no pixel or it has not seen this click.
    const [click, at] = clicks?.fbclid || [];
    if (click && !ids.fbc?.endsWith(click)) ids.fbc = `fb.1.${at}.${click}`;
  }
  const touch = first && { first: told(first, may), last: told(last, may) };
  return { click_ids: filled(ids), touch };
}

/** A touch with its click ids, if they may be there. */
function told(touch: Fields | undefined, may: boolean | undefined): Fields | undefined {
  return may ? touch : touch && { ...touch, click_ids: undefined };
}
