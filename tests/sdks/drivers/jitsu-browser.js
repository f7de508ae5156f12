import { jitsuAnalytics } from "@jitsu/js";
// Its write keys are of two parts; the second is a secret where one is needed, and here it is not.
import { performing, telling } from "./page.js";

const start = ({ url, write_key: writeKey, options }) => ({
  analytics: jitsuAnalytics({ host: url, writeKey: `${writeKey}:none`, ...options }),
});
performing(start, (analytics, { category, ...call }) => {
  if (call.type !== "page") return telling(analytics, call);
  analytics.setAnonymousId(call.anonymousId);
  return analytics.page({ category, name: call.name, ...call.properties });
});
