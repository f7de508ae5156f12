import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";
import { performing, telling } from "./page.js";

const start = async ({ url, write_key: writeKey, options }) => {
  const analytics = new RudderAnalytics();
  analytics.load(writeKey, url, { configUrl: url, ...options });
  await new Promise((ready) => analytics.ready(ready));
  return { analytics };
};
performing(start, (analytics, { timestamp, ...call }) => {
  if (!timestamp) return telling(analytics, call);
  return analytics.track(call.event, call.properties, { originalTimestamp: timestamp });
});
