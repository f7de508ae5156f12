import { jitsuAnalytics } from "@jitsu/js";
import { performing, telling } from "./page.js";

const start = ({ url, write_key: writeKey, options }) => jitsuAnalytics({ host: url, writeKey, ...options });
performing(start, (analytics, { category, ...call }) => {
  if (call.type !== "page") return telling(analytics, call);
  analytics.setAnonymousId(call.anonymousId);
  return analytics.page({ category, name: call.name, ...call.properties });
});
