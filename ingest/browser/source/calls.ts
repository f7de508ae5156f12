// The calls that a page makes, as Segment's SDK takes them.

import { consentTrait } from "./consent";
import { on } from "./events";
import { warn } from "./guard";
import * as identity from "./identity";
import { allow, askId, message, post, state } from "./messages";
import { isTold, pageProperties } from "./page";
import { flush } from "./sender";
import type { Fields } from "./text";
import { noteTouch } from "./touch";

/** ([category], [name], [properties], [options]) */
function view(type: string, given: any[]): Fields {
  const texts = given.filter((one) => typeof one === "string");
  const [properties, more] = given.filter((one) => one && typeof one === "object");
  const [category, name] = texts[1] ? texts : [undefined, texts[0]];
  const page = type === "page" ? pageProperties() : {};
  return message(type, { category, name, properties: { ...page, category, name, ...properties } }, more);
}

export const calls = {
  page(...given: any[]) {
    isTold();
    noteTouch();
    const fields = view("page", given);
    // What the page says of itself holds for the context too.
    for (const part in fields.context.page) fields.context.page[part] = fields.properties[part];
    post(fields);
  },
  screen(...given: any[]) {
    post(view("screen", given));
  },
  track(event: string, properties?: Fields, more?: Fields) {
    if (event) post(message("track", { event: String(event), properties: properties || {} }, more));
    else warn("track needs the name of an event");
  },
  identify(userId?: any, traits?: any, more?: any): void {
    if (userId && typeof userId === "object") return calls.identify(null, userId, traits);
    if (identity.become(userId ? String(userId) : null, traits)) askId(true);
    post(message("identify", { traits: { ...identity.traits(), ...consentTrait() } }, more));
  },
  group(groupId?: any, traits?: any, more?: any) {
    if (!groupId) return { id: identity.groupId, traits: identity.groupTraits };
    groupId = String(groupId);
    identity.join(groupId, traits);
    post(message("group", { groupId, traits: identity.groupTraits() }, more));
    return undefined;
  },
  alias(userId: any, previousId?: any, more?: any) {
    const before = previousId || identity.userId() || identity.anonymousId();
    if (userId) post(message("alias", { userId: String(userId), previousId: String(before) }, more));
  },
  reset() {
    identity.leave();
    askId(true);
  },
  consent(given?: unknown) {
    if (given !== undefined) allow(given, true);
    return state();
  },
  on,
  flush: () => flush(true),
  anonymousId: identity.anonymousId,
  setAnonymousId: identity.anonymousId,
  user: () => ({ id: identity.userId, anonymousId: identity.anonymousId, traits: identity.traits }),
};
