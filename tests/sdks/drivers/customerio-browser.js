import { AnalyticsBrowser } from "@customerio/cdp-analytics-browser";
import { performing } from "./page.js";

performing(({ url, write_key: writeKey, options }) => ({
  analytics: AnalyticsBrowser.load({ writeKey, cdnURL: url }, options),
}));
