import { Analytics } from "@customerio/cdp-analytics-node";
import { each, message } from "./node.mjs";

await each(async ({ url, write_key: writeKey, calls, options }, failed) => {
  const analytics = new Analytics({ writeKey, host: url, flushAt: 3, flushInterval: 200, ...options });
  analytics.on("error", failed);
  for (const call of calls) analytics[call.type](message(call));
  await analytics.closeAndFlush({ timeout: 60_000 });
});
