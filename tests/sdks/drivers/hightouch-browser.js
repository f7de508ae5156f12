import { HtEventsBrowser } from "@ht-sdks/events-sdk-js-browser";
import { performing } from "./page.js";

// This one asks for no settings: where to send to is said in code.
performing(({ url, write_key: writeKey, options }) => {
  const { host, protocol } = new URL(url);
  const where = { apiHost: host, protocol: protocol.replace(":", "") };
  return { analytics: HtEventsBrowser.load({ writeKey }, { ...where, ...options }) };
});
