// Segment's older SDK for Node. It sends the first event at once, and tells each call alone when it is done with it.
import Analytics from "analytics-node";
import { each, message } from "./node.mjs";

await each(async ({ url, write_key: writeKey, calls, options }, failed) => {
  const analytics = new Analytics(writeKey, { host: url, flushInterval: 200, errorHandler: failed, ...options });
  const made = calls.map((call) => new Promise((done) => analytics[call.type](message(call), done)));
  await Promise.all(made);
});
