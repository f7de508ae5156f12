// RudderStack's SDK of version 1.1, which many shops still have.
import * as rudder from "rudder-sdk-js";
import { performing, telling } from "./page.js";

const start = async ({ url, write_key: writeKey, options }) => {
  rudder.load(writeKey, url, { configUrl: url, ...options });
  await new Promise((ready) => rudder.ready(ready));
  return { analytics: rudder };
};
performing(start, (analytics, { timestamp, ...call }) => {
  if (!timestamp) return telling(analytics, call);
  return analytics.track(call.event, call.properties, { originalTimestamp: timestamp });
});
