import { AnalyticsBrowser } from "@segment/analytics-next";
import { performing } from "./page.js";

performing(({ url, write_key: writeKey, options }) => ({
  analytics: AnalyticsBrowser.load({ writeKey, cdnURL: url }, options),
}));
