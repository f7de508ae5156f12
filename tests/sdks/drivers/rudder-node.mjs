import Analytics from "@rudderstack/rudder-sdk-node";
import { each, message } from "./node.mjs";

await each(async ({ url, write_key: writeKey, calls, options }, failed) => {
  const analytics = new Analytics(writeKey, { dataPlaneUrl: url, flushAt: 100, errorHandler: failed, ...options });
  for (const call of calls) analytics[call.type](message(call));
  await analytics.flush();
});
